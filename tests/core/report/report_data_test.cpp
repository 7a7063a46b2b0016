#include "core/report/report_data.hpp"

#include <filesystem>
#include <numeric>

#include "core/calibration/evaluate.hpp"
#include "core/ensemble/pooling.hpp"
#include "core/report/report_curves.hpp"
#include "core/report/report_examples.hpp"
#include "core/storage/predictions_file.hpp"
#include "support/catch.hpp"
#include "support/random_predictions.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using nlohmann::json;
using test::narrowed;
using test::RandomPredictions;
using test::ScratchDirectory;
using test::write_content;

namespace {

PredictionTable named(PredictionTable table, const std::string& name) {
  table.name = name;
  return table;
}

// A finished run over sets of random predictions; the data file of `test` has the texts.
class Run {
 public:
  explicit Run(std::vector<PredictionTable> sets) {
    run_.directory = scratch_.path().string();
    run_.name = "made here";
    run_.seed = 7;
    run_.members = static_cast<std::int64_t>(sets.front().members.size());
    run_.task.prompt = "Question {q}\nAnswer:";
    run_.task.fixed_choices = {"red", "green", "blue", "<b>white</b>", "black"};
    run_.task.fixed_choices.resize(sets.front().choices);
    run_.task.labels = LabelStyle::options;
    run_.evaluation.bootstrap = 50;
    run_.metrics = {{"members", run_.members}, {"datasets", json::object()}};
    std::vector<Predictions> stored;
    for (const PredictionTable& set : sets) stored.push_back(narrowed(set));
    const Predictions* validation = nullptr;
    const Predictions* test = nullptr;
    for (const Predictions& set : stored) {
      if (set.name == "validation") validation = &set;
      if (set.name == "test") test = &set;
    }
    for (const Predictions& set : stored) {
      json& metrics = run_.metrics["datasets"][set.name];
      metrics = evaluate_predictions(set, validation, run_.evaluation, run_.seed);
      if (test != nullptr && &set != test && &set != validation) metrics["detection"] = evaluate_detection(*test, set);
      write_data(set);
    }
    write_predictions(scratch_.file("predictions.h5"), stored);
  }

  [[nodiscard]] ReportRun& run() { return run_; }
  [[nodiscard]] json report() const { return report_data({&run_, 1})["runs"][0]; }
  [[nodiscard]] std::string file(const std::string& name) const { return scratch_.file(name); }

 private:
  void write_data(const Predictions& set) {
    std::string lines;
    for (std::size_t n = 0; n < set.examples; ++n) {
      json record = {{"id", set.example_ids[n]}, {"q", "<script>no. " + std::to_string(n) + "</script>"}};
      if (set.labels[n] >= 0) record["answer"] = set.labels[n];
      lines += record.dump() + "\n";
    }
    write_content(scratch_.file(set.name + ".jsonl"), lines);
    run_.data.push_back({set.name, scratch_.file(set.name + ".jsonl"), 0});
  }

  ScratchDirectory scratch_;
  ReportRun run_;
};

double error_of(const json& bins) {
  double examples = 0.0;
  double sum = 0.0;
  for (const json& bin : bins) {
    examples += bin["count"].get<double>();
    sum += bin["count"].get<double>() * bin["gap"].get<double>();
  }
  return sum / examples;
}

}  // namespace

TEST_CASE("the report's diagrams, curves and matrix agree with metrics.json") {
  PredictionTable shifted = named(RandomPredictions{4, 40, 5}.make(3), "far");
  shifted.labels.assign(40, -1);
  Run made({named(RandomPredictions{4, 120, 5}.make(1), "test"),
            named(RandomPredictions{4, 60, 5}.make(2), "validation"), shifted});
  const json run = made.report();
  CHECK(run["sets"] == json({"test", "validation", "far"}));
  CHECK(run["main_set"] == "test");
  CHECK(run["problems"].empty());
  const json& metrics = made.run().metrics["datasets"];
  for (const char* set : {"test", "validation"}) {
    const json& chart = run["charts"][set];
    const json& values = metrics[set];
    CHECK(error_of(chart["reliability"]["members_mean"]) ==
          Approx(values["members"]["mean"]["ece"].get<double>()).margin(1e-5));
    for (const char* row : {"ensemble", "single_temperature_scaled", "ensemble_temperature_scaled"}) {
      CHECK(error_of(chart["reliability"][row]) == Approx(values[row]["ece"].get<double>()).margin(1e-5));
    }
    for (const char* metric : {"accuracy", "nll", "brier", "ece"}) {
      const json& counts = chart["members"];
      CHECK(counts[0][metric][0].get<double>() ==
            Approx(values["members"]["mean"][metric].get<double>()).epsilon(1e-5));
      CHECK(counts[3][metric][0].get<double>() == Approx(values["ensemble"][metric].get<double>()).epsilon(1e-5));
    }
  }
  CHECK_FALSE(run["charts"]["far"].contains("reliability"));
  CHECK(run["charts"]["far"]["disagreement"].size() == 4);
  // Histograms hold every example once; the validation set is not among them.
  for (const char* score : {"entropy", "mutual_information"}) {
    const json& counts = run["uncertainty"][score]["counts"];
    CHECK(counts.size() == 2);
    const auto test_counts = counts["test"].get<std::vector<int>>();
    const auto far_counts = counts["far"].get<std::vector<int>>();
    CHECK(std::accumulate(test_counts.begin(), test_counts.end(), 0) == 120);
    CHECK(std::accumulate(far_counts.begin(), far_counts.end(), 0) == 40);
  }
}

TEST_CASE("the most telling examples come first, with text, options and votes") {
  const PredictionTable table = named(RandomPredictions{3, 200, 5}.make(5), "test");
  Run made({table});
  const json examples = made.report()["examples"]["test"];
  const LogRows pooled = pool(table, Pooling::arithmetic);
  // Brute force: no wrong answer outside the list is surer than one in it.
  const auto wrong = examples["lists"]["wrong"].get<std::vector<std::size_t>>();
  REQUIRE(wrong.size() == kExamplesPerList);
  const auto top = [&](std::size_t n) {
    const auto row = pooled.row(n);
    return static_cast<std::int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
  };
  const auto confidence = [&](std::size_t n) { return pooled.row(n)[static_cast<std::size_t>(top(n))]; };
  std::size_t surer = 0;
  for (std::size_t n = 0; n < 200; ++n) surer += top(n) != table.labels[n] && confidence(n) > confidence(wrong.back());
  CHECK(surer == kExamplesPerList - 1);
  for (std::size_t i = 1; i < wrong.size(); ++i) CHECK(confidence(wrong[i - 1]) >= confidence(wrong[i]));

  const json& first = examples["examples"][std::to_string(wrong.front())];
  CHECK(first["id"] == "example " + std::to_string(wrong.front()));
  CHECK(first["text"] == "Question <script>no. " + std::to_string(wrong.front()) + "</script>\nAnswer:");
  CHECK(first["problem"] == "");
  int votes = 0;
  int labels = 0;
  double probability = first["others"]["probability"];
  for (const json& option : first["options"]) {
    votes += option["votes"].get<int>();
    labels += option["is_label"] ? 1 : 0;
    probability += option["probability"].get<double>();
  }
  CHECK(votes == 3);
  CHECK(labels == 1);
  CHECK(probability == Approx(1.0).margin(1e-5));
  CHECK(first["members"].size() == 3);
}

TEST_CASE("data files that are gone or changed cost the text and nothing else") {
  const PredictionTable table = named(RandomPredictions{2, 30, 3}.make(5), "test");
  const auto problems = [](const Run& made) {
    std::vector<std::string> found;
    const auto report = made.report();  // it must outlive the loop over its parts
    for (const auto& [number, example] : report["examples"]["test"]["examples"].items()) {
      CHECK(example["text"].is_null() == !example["problem"].get<std::string>().empty());
      CHECK_FALSE(example["options"].empty());
      CHECK(example["options"][0]["name"].get<std::string>().size() > 1);  // still the fixed choices' names
      found.push_back(example["problem"]);
    }
    return found;
  };
  SECTION("gone") {
    Run made({table});
    std::filesystem::remove(made.file("test.jsonl"));
    for (const std::string& problem : problems(made)) CHECK(problem.find("is not there") != std::string::npos);
  }
  SECTION("damaged") {
    Run made({table});
    write_content(made.file("test.jsonl"), "{\"id\": ");
    for (const std::string& problem : problems(made)) CHECK(problem.find("test.jsonl:1") != std::string::npos);
  }
  SECTION("other records, other labels, other fields") {
    Run made({table});
    std::string lines;
    for (std::size_t n = 0; n < 30; ++n) {
      json record = {{"id", table.example_ids[n]}, {"q", "text"}, {"answer", table.labels[n]}};
      if (n % 4 == 0) record["id"] = "another " + std::to_string(n);
      if (n % 4 == 1) record["answer"] = (table.labels[n] + 1) % 3;
      if (n % 4 == 2) record.erase("q");
      lines += record.dump() + "\n";
    }
    write_content(made.file("test.jsonl"), lines);
    const json report = made.report();
    for (const auto& [number, example] : report["examples"]["test"]["examples"].items()) {
      const std::string problem = example["problem"];
      const std::array<const char*, 4> expected = {"no record with this id", "answer is another one", "has changed",
                                                   ""};
      const char* phrase = expected[std::stoul(number) % 4];
      CHECK((*phrase == '\0' ? problem.empty() : problem.find(phrase) != std::string::npos));
    }
  }
  SECTION("no data file in the recipe") {
    Run made({table});
    made.run().data.clear();
    for (const std::string& problem : problems(made)) CHECK(problem.find("names no data file") != std::string::npos);
  }
}

TEST_CASE("runs without one thing or another have a report all the same") {
  SECTION("one member") {
    Run made({named(RandomPredictions{1, 30, 3}.make(1), "test")});
    const json run = made.report();
    CHECK(run["headline"][0].get<std::string>().starts_with("On 30 test examples the model is right"));
    CHECK(run["charts"]["test"]["members"].size() == 1);
    CHECK_FALSE(run["charts"]["test"]["reliability"].contains("ensemble_temperature_scaled"));
  }
  SECTION("no labels at all") {
    PredictionTable table = named(RandomPredictions{3, 30, 3}.make(1), "far");
    table.labels.assign(30, -1);
    Run made({table});
    const json run = made.report();
    CHECK(run["main_set"] == "far");
    CHECK(run["headline"][0].get<std::string>().find("without labels") != std::string::npos);
    CHECK(run["examples"]["far"]["lists"]["wrong"].empty());
    CHECK(run["examples"]["far"]["lists"]["total"].size() == kExamplesPerList);
  }
  SECTION("no predictions, or damaged ones") {
    Run made({named(RandomPredictions{3, 30, 3}.make(1), "test")});
    write_content(made.file("predictions.h5"), "nothing of the kind");
    CHECK(made.report()["problems"].size() == 1);
    CHECK(made.report()["charts"].empty());
    std::filesystem::remove(made.file("predictions.h5"));
    CHECK(made.report()["problems"][0].get<std::string>().starts_with("predictions.h5 is not there"));
  }
  SECTION("unfinished") {
    Run made({named(RandomPredictions{3, 30, 3}.make(1), "test")});
    made.run().metrics = nullptr;
    const json run = made.report();
    CHECK_FALSE(run["finished"].get<bool>());
    CHECK(run["sets"].empty());
  }
  SECTION("completion") {
    Run made({named(RandomPredictions{3, 30, 3}.make(1), "test")});
    made.run().task.kind = TaskKind::completion;
    TokenPredictions tokens{"test", 2, {-1.0F, -2.0F, -3.0F, -4.0F}, {0, 2}, {"a"}};
    made.run().metrics["datasets"] = {{"test", evaluate_tokens(tokens)}};
    const json run = made.report();
    CHECK(run["headline"][0].get<std::string>().find("perplexity") != std::string::npos);
    CHECK(run["charts"].empty());
    CHECK(run["problems"].empty());
  }
}

TEST_CASE("large sets do not make the report large") {
  Run small({named(RandomPredictions{3, 100, 4}.make(1), "test")});
  Run large({named(RandomPredictions{3, 20000, 4}.make(1), "test")});
  CHECK(2 * large.report().dump().size() < 3 * small.report().dump().size());
}

TEST_CASE("curves of a log: members, their mean, the pooled validation, and what a log may also hold") {
  const ScratchDirectory scratch;
  write_content(scratch.file("log.jsonl"), R"({"member":0,"step":2,"loss":1.0}
{"member":1,"step":2,"loss":3.0}
{"member":0,"step":4,"loss":0.5}
{"member":1,"step":4,"loss":null}
{"member":0,"step":4,"validation":{"nll":1.5,"accuracy":0.5,"ece":0.1},"pooled_validation":{"nll":1.0,"accuracy":0.75,"ece":null}}
{"member":1,"step":4,"validation":{"nll":2.5,"accuracy":0.25,"ece":null},"pooled_validation":{"nll":1.0,"accuracy":0.75,"ece":null}}
{"something":"else"}
not JSON
{"member":0,"st)");
  const json curves = report_curves(scratch.file("log.jsonl"));
  CHECK(curves["training"]["members"].size() == 2);
  CHECK(curves["training"]["mean"] == json({{"steps", {2, 4}}, {"loss", {2.0, 0.5}}}));
  CHECK(curves["training"]["members"][1]["loss"] == json({3.0, nullptr}));
  CHECK(curves["validation"]["members"][1]["nll"] == json({2.5}));
  CHECK(curves["validation"]["pooled"] ==
        json({{"steps", {4}}, {"nll", {1.0}}, {"accuracy", {0.75}}, {"ece", {nullptr}}}));
  const json none = report_curves(scratch.file("missing"));
  CHECK(none["training"]["members"].empty());
  CHECK(none["validation"]["pooled"]["steps"].empty());
}

TEST_CASE("a long log is thinned to means of neighbours") {
  const ScratchDirectory scratch;
  std::string lines;
  double sum = 0.0;
  for (int step = 1; step <= 1000; ++step) {
    lines += json({{"member", 0}, {"step", step}, {"loss", step * 0.001}}).dump() + "\n";
    sum += step * 0.001;
  }
  write_content(scratch.file("log.jsonl"), lines);
  const json training = report_curves(scratch.file("log.jsonl"))["training"];
  CHECK(training["averaged"] == 4);
  const json& curve = training["members"][0];
  REQUIRE(curve["steps"].size() == 250);
  CHECK(curve["steps"].back() == 1000);
  double mean = 0.0;
  for (const json& value : curve["loss"]) mean += value.get<double>() / 250.0;
  CHECK(mean == Approx(sum / 1000.0).epsilon(1e-4));
}
