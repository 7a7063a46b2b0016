// Drives calibration from the Python tests.
//   calibration_probe metrics FILE [VALIDATION] BINS BOOTSTRAP SEED   -> {"datasets": {name: metrics}}
//   calibration_probe detect TEST SHIFTED                             -> detection object
//   calibration_probe rewrite FILE OUT.h5                             -> our predictions file from any readable one
//   calibration_probe resample SEED DRAWS EXAMPLES                    -> counts of the first bootstrap draws
// An error is printed as {"code": ..., "error": ...}.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "core/calibration/bootstrap.hpp"
#include "core/calibration/evaluate_table.hpp"
#include "core/calibration/read_predictions.hpp"
#include "core/storage/predictions_file.hpp"

namespace {

nlohmann::json metrics(const std::vector<std::string>& words) {
  const auto sets = chorale::read_predictions(words.at(1));
  const bool with_validation = words.size() == 6;
  std::vector<chorale::PredictionTable> validation;
  if (with_validation) {
    validation = chorale::read_predictions(words.at(2));
  }
  chorale::EvaluationConfig config;
  config.ece_bins = std::stoll(words.at(words.size() - 3));
  config.bootstrap = std::stoll(words.at(words.size() - 2));
  nlohmann::json datasets = nlohmann::json::object();
  for (const chorale::PredictionTable& set : sets) {
    datasets[set.name] = chorale::evaluate_table(set, with_validation ? &validation.front() : nullptr, config,
                                                 std::stoull(words.back()));
  }
  return {{"datasets", datasets}};
}

nlohmann::json rewrite(const std::string& from, const std::string& to) {
  std::vector<chorale::Predictions> sets;
  for (const chorale::PredictionTable& table : chorale::read_predictions(from)) {
    chorale::Predictions set{table.name, table.members.size(), table.examples,   table.choices,
                             {},         table.labels,         table.example_ids};
    for (const chorale::LogRows& member : table.members) {
      for (const double value : member.values) {
        set.log_probabilities.push_back(static_cast<float>(value));
      }
    }
    sets.push_back(set);
  }
  chorale::write_predictions(to, sets, {{"recipe", "name: probe\n"}});
  const bool equal = chorale::read_predictions_file(to).front().log_probabilities == sets.front().log_probabilities;
  return {{"sets", sets.size()}, {"equal", equal}};
}

nlohmann::json run(const std::vector<std::string>& words) {
  if (words.at(0) == "metrics") {
    return metrics(words);
  }
  if (words.at(0) == "detect") {
    return chorale::detect_table(chorale::read_predictions(words.at(1)).front(),
                                 chorale::read_predictions(words.at(2)).front());
  }
  if (words.at(0) == "rewrite") {
    return rewrite(words.at(1), words.at(2));
  }
  std::vector<std::vector<std::uint32_t>> draws(std::stoul(words.at(2)));
  for (std::size_t draw = 0; draw < draws.size(); ++draw) {
    draws[draw].resize(std::stoul(words.at(3)));
    chorale::draw_resample(std::stoull(words.at(1)), draw, draws[draw]);
  }
  return draws;
}

}  // namespace

int main(int argc, char** argv) {
  nlohmann::json result;
  try {
    result = run({argv + 1, argv + argc});
  } catch (const chorale::Error& error) {
    result = {{"code", static_cast<int>(error.code())}, {"error", error.what()}};
  } catch (const std::exception& error) {
    result = {{"code", 70}, {"error", error.what()}};
  }
  std::puts(result.dump().c_str());
  return EXIT_SUCCESS;
}
