#include "core/report/result_table.hpp"

#include <sstream>
#include <string>

#include "core/calibration/evaluate_table.hpp"
#include "core/report/table.hpp"
#include "support/catch.hpp"
#include "support/random_predictions.hpp"

using chorale::display_width;
using chorale::EvaluationConfig;
using chorale::PredictionTable;
using chorale::result_table;
using chorale::test::RandomPredictions;
using nlohmann::json;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::size_t widest_line(const std::string& text) {
  std::istringstream lines(text);
  std::size_t widest = 0;
  for (std::string line; std::getline(lines, line);) {
    widest = std::max(widest, display_width(line));
  }
  return widest;
}

json evaluated(const PredictionTable& table, const PredictionTable* validation, std::int64_t bootstrap) {
  EvaluationConfig config;
  config.bootstrap = bootstrap;
  return chorale::evaluate_table(table, validation, config, 1);
}

}  // namespace

TEST_CASE("widths count columns, not bytes, and no colour codes") {
  CHECK(display_width("abc") == 3);
  CHECK(display_width("ä±") == 2);
  CHECK(display_width("a\xCC\x88") == 1);  // combining diaeresis
  CHECK(display_width("日本") == 4);       // wide characters
  CHECK(display_width("\x1b[31mred\x1b[0m") == 3);
  CHECK(display_width("\xFF") == 1);
  CHECK(chorale::shortened("short", 5) == "short");
  CHECK(chorale::shortened("too long", 5) == "too …");
  CHECK(display_width(chorale::shortened("日本語日本語", 6)) <= 6);
}

TEST_CASE("columns line up whatever the characters") {
  chorale::Table table;
  table.add_row({"name", "x"});
  table.add_row({"ä", "\x1b[1m10\x1b[0m"});
  table.add_row({"日本語", "7", ""});
  CHECK(table.text() == "name     x\nä       \x1b[1m10\x1b[0m\n日本語   7\n");
}

TEST_CASE("words are wrapped, and a word that is too long stays whole") {
  CHECK(chorale::wrapped("one two  three", 8) == "one two\n  three\n");
  CHECK(chorale::wrapped("immeasurable x", 5, 0) == "immeasurable\nx\n");
  CHECK(chorale::wrapped("", 5) == "\n");
  CHECK(chorale::beside("name", 6, "one two three", 14) == "name  one two\n      three\n");
  CHECK(chorale::beside("longer name", 6, "one", 14) == "longer name one\n");
}

TEST_CASE("large and small numbers keep the table within 80 columns") {
  const auto row = [](double scale) {
    return json{{"accuracy", 0.9999}, {"nll", 123.456 * scale}, {"brier", 1.999}, {"ece", 0.00004 * scale}};
  };
  json dataset = {{"examples", 1000000}, {"labelled", 1000000},   {"choices", 100},
                  {"ece_bins", 1000},    {"disagreement", 0.123}, {"ensemble", row(9)}};
  dataset["single_temperature_scaled"] = dataset["ensemble_temperature_scaled"] = row(90);
  dataset["single_temperature_scaled"]["temperature"] = dataset["ensemble_temperature_scaled"]["temperature"] = 100;
  dataset["members"] = {{"mean", row(1)}, {"std", row(1)}, {"each", {row(1), row(1)}}};
  for (const char* name : {"members_mean", "ensemble", "single_temperature_scaled", "ensemble_temperature_scaled"}) {
    for (const char* metric : {"accuracy", "nll", "brier", "ece"}) {
      dataset["intervals"][name][metric] = {12.3456, 1234.56};
    }
  }
  const std::string text = result_table(dataset, false);
  CAPTURE(text);
  CHECK(contains(text, "123.5 ±123.5"));
  CHECK(contains(text, "1111 +800%"));
  CHECK(contains(text, "12.35..1235"));
  CHECK(widest_line(text) <= 80);
}

TEST_CASE("the table holds the four rows with change and intervals, within 80 columns") {
  const PredictionTable table = RandomPredictions().make(1);
  const PredictionTable validation = RandomPredictions().make(2);
  const json dataset = evaluated(table, &validation, 100);
  const std::string text = result_table(dataset, false);
  CAPTURE(text);
  for (const char* row : {"members' mean", "single + temperature", "ensemble ", "ensemble + temperature", "uncertainty",
                          "disagreement", "±"}) {
    CHECK(contains(text, row));
  }
  const double nll = dataset.at("ensemble").at("nll").get<double>();
  const double base = dataset.at("members").at("mean").at("nll").get<double>();
  char cell[64];
  std::snprintf(cell, sizeof cell, "%.3f %+.1f%%", nll, 100.0 * (nll / base - 1.0));
  CHECK(contains(text, cell));
  const json ends = dataset.at("intervals").at("ensemble").at("brier");
  std::snprintf(cell, sizeof cell, "%.3f..%.3f", ends[0].get<double>(), ends[1].get<double>());
  CHECK(contains(text, cell));
  CHECK(widest_line(text) <= 80);
  CHECK_FALSE(contains(text, "\x1b["));
  const std::string coloured = result_table(dataset, true);
  CHECK(contains(coloured, "\x1b[32m"));
  CHECK(widest_line(coloured) == widest_line(text));
}

TEST_CASE("the table leaves out what is missing") {
  const std::string plain = result_table(evaluated(RandomPredictions().make(1), nullptr, 0), false);
  CHECK_FALSE(contains(plain, "temperature"));
  CHECK_FALSE(contains(plain, ".."));
  RandomPredictions single;
  single.members = 1;
  const PredictionTable one = single.make(1);
  const std::string of_one = result_table(evaluated(one, &one, 10), false);
  CHECK(contains(of_one, "model + temperature"));
  CHECK_FALSE(contains(of_one, "ensemble"));
  CHECK_FALSE(contains(of_one, "disagreement"));
  PredictionTable unlabelled = RandomPredictions().make(1);
  unlabelled.labels.assign(unlabelled.examples, -1);
  const std::string bare = result_table(evaluated(unlabelled, nullptr, 10), false);
  CHECK_FALSE(contains(bare, "NLL"));
  CHECK(contains(bare, "uncertainty"));
}

TEST_CASE("an infinite NLL is called so") {
  PredictionTable table = RandomPredictions().make(1);
  const auto label = static_cast<std::size_t>(table.labels[0]);
  table.members[0].row(0)[label] = -std::numeric_limits<double>::infinity();
  chorale::log_normalise(table.members[0].row(0));
  const std::string text = result_table(evaluated(table, nullptr, 50), false);
  CHECK(contains(text, "infinite"));
  CHECK(widest_line(text) <= 80);
}

TEST_CASE("shifted sets stand beside test with their detection areas, within 80 columns") {
  const PredictionTable test = RandomPredictions().make(1);
  RandomPredictions flat;
  flat.sharpness = 0.3;
  const PredictionTable strange = flat.make(2);
  json datasets = {{"test", evaluated(test, nullptr, 0)}};
  CHECK(chorale::shifted_table(datasets).empty());
  datasets["a shifted set with quite a long name"] = evaluated(strange, nullptr, 0);
  datasets["a shifted set with quite a long name"]["detection"] = chorale::detect_table(test, strange);
  const std::string text = chorale::shifted_table(datasets);
  CAPTURE(text);
  CHECK(contains(text, "a shifted set…"));
  CHECK(contains(text, "AUROC"));
  CHECK(contains(chorale::shifted_table(datasets, 120), "a shifted set with quite a long name"));
  CHECK(widest_line(chorale::shifted_table(datasets, 120)) <= 120);
  CHECK(widest_line(text) <= 80);
}

TEST_CASE("a completion has NLL per token and perplexity") {
  const json member = {{"nll", 2.0}, {"perplexity", 7.389}};
  json dataset = {{"examples", 4},
                  {"tokens", 11},
                  {"ensemble", {{"nll", 1.5}, {"perplexity", 4.482}}},
                  {"members", {{"mean", member}, {"std", {{"nll", 0.25}, {"perplexity", nullptr}}}}}};
  dataset["members"]["each"] = {member, member};
  CHECK(result_table(dataset, false) ==
        "               NLL per token    perplexity\n"
        "members' mean   2.000 ±0.250         7.389\n"
        "ensemble        1.500 -25.0%  4.482 -39.3%\n"
        "±: standard deviation over members; %: change against the members' mean.\n"
        "\nexamples      4, 11 answer tokens\n");
  dataset["members"]["each"] = {member};
  CHECK(contains(result_table(dataset, false), "\nmodel "));
  CHECK_FALSE(contains(result_table(dataset, false), "ensemble"));
}
