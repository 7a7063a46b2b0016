#include "core/report/comparison_table.hpp"

#include <sstream>

#include "core/report/table.hpp"
#include "support/catch.hpp"

using namespace chorale;
using nlohmann::json;

namespace {

json row(double nll) {
  return {{"accuracy", 0.5}, {"nll", nll}, {"brier", 0.25}, {"ece", 0.125}};
}

json metrics(double nll) {
  return {
      {"members", 3},
      {"datasets", {{"test", {{"examples", 100}, {"members", {{"mean", row(nll + 1.0)}}}, {"ensemble", row(nll)}}}}}};
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("runs side by side within 80 columns") {
  const std::string table = comparison_table({{"first", metrics(1.5)},
                                              {"a name that goes on and on and on and on for ever", metrics(2.25)},
                                              {"third", nullptr}});
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) CHECK(display_width(line) <= 80);
  CHECK(has(table, "test set"));
  CHECK(has(table, "1.500"));
  CHECK(has(table, "3.250"));
  CHECK(has(table, "unfinished"));
  CHECK(has(table, "members' mean"));
  CHECK_FALSE(has(table, "temperature"));
}

TEST_CASE("an infinite NLL is called so, completions have their own columns, and nothing in common is said") {
  json infinite = metrics(1.0);
  infinite["datasets"]["test"]["ensemble"]["nll"] = nullptr;
  infinite["datasets"]["test"]["ensemble"]["infinite"] = 2;
  CHECK(has(comparison_table({{"a", infinite}, {"b", metrics(1.0)}}), "infinite"));

  const json tokens = {{"members", 2},
                       {"datasets",
                        {{"test",
                          {{"examples", 4},
                           {"tokens", 9},
                           {"members", {{"mean", {{"nll", 2.0}, {"perplexity", 7.389}}}}},
                           {"ensemble", {{"nll", 1.0}, {"perplexity", 2.718}}}}}}}};
  const std::string table = comparison_table({{"a", tokens}, {"b", tokens}});
  CHECK(has(table, "perplexity"));
  CHECK(has(table, "2.718"));
  CHECK_FALSE(has(table, "Brier"));

  json other = metrics(1.0);
  other["datasets"] = {{"elsewhere", other["datasets"]["test"]}};
  CHECK(has(comparison_table({{"a", metrics(1.0)}, {"b", other}}), "no evaluated set in common"));
  CHECK(has(comparison_table({{"a", nullptr}, {"b", nullptr}}), "nothing to lay side by side"));
}
