#include "launch/recipe/sections.hpp"

namespace chorale::recipe {
namespace {

constexpr std::int64_t kMost = 1'000'000;
constexpr std::int64_t kMostBins = 10'000;

}  // namespace

const Section& evaluation_table() {
  static const Section table = {
      "evaluation",
      {{"batch_size", "integer >= 1", "32", "examples per pass without gradients; smaller needs less memory"},
       {"every_epochs", "integer >= 1", "1", "epochs between validations in training"},
       {"ece_bins", "integer >= 1", "15", "bins of the expected calibration error (10 and 20 are reported besides)"},
       {"bootstrap", "integer >= 0", "1000", "resamples for the 95 % intervals; 0: no intervals"},
       {"temperature", "true, false", "true",
        "report temperature-scaled rows too; without data.validation they are left out, with a warning"}}};
  return table;
}

void read_evaluation(Reader reader, EvaluationConfig& evaluation) {
  reader.integer("batch_size", evaluation.batch_size, 1, kMost);
  reader.integer("every_epochs", evaluation.every_epochs, 1, kMost);
  reader.integer("ece_bins", evaluation.ece_bins, 1, kMostBins);
  reader.integer("bootstrap", evaluation.bootstrap, 0, kMost);
  reader.boolean("temperature", evaluation.temperature);
}

void write_evaluation(Writer& writer, const EvaluationConfig& evaluation) {
  writer.begin("evaluation");
  writer.integer("batch_size", evaluation.batch_size);
  writer.integer("every_epochs", evaluation.every_epochs);
  writer.integer("ece_bins", evaluation.ece_bins);
  writer.integer("bootstrap", evaluation.bootstrap);
  writer.boolean("temperature", evaluation.temperature);
  writer.end();
}

}  // namespace chorale::recipe
