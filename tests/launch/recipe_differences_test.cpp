#include "launch/recipe/differences.hpp"

#include <sstream>

#include "launch/recipe_support.hpp"
#include "support/catch.hpp"
#include "support/input_error.hpp"

using namespace chorale;
using test::contains;

namespace {

// The lines with which going on from the small recipe with `overrides` is refused.
std::vector<std::string> refusal(const std::vector<std::string>& overrides,
                                 const std::vector<std::string>& before = {}) {
  std::vector<std::string> lines;
  try {
    check_resumable(resolved_yaml(with(before)), with(overrides), "runs/x/recipe.yaml");
  } catch (const UsageError& error) {
    std::istringstream stream(error.what());
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
  }
  return lines;
}

}  // namespace

TEST_CASE("differences are listed by dotted key with both values") {
  const auto differences = [](const std::vector<std::string>& before, const std::vector<std::string>& after) {
    return recipe_differences(resolved_yaml(with(before)), resolved_yaml(with(after)));
  };
  CHECK(differences({}, {}).empty());
  CHECK(differences({}, {"seed=2", "adapter.rank=4"}) ==
        std::vector<RecipeDifference>{{"seed", "1", "2"}, {"adapter.rank", "8", "4"}});
  CHECK(differences({}, {"data.shifted=[{name: s, path: s.jsonl}]"}) ==
        std::vector<RecipeDifference>{{"data.shifted.0.name", "", "s"},
                                      {"data.shifted.0.path", "", "s.jsonl"},
                                      {"data.shifted.0.limit", "", "null"},
                                      {"data.shifted.0.labelled", "", "true"},
                                      {"data.shifted", "[]", ""}});
  CHECK(differences({"training.epochs=2"}, {"training.steps=9"}) ==
        std::vector<RecipeDifference>{{"training.steps", "", "9"}, {"training.epochs", "2", ""}});
  CHECK(recipe_differences("a: \"null\"\nb: \"1\"\n", "a: null\nb: 1\n") ==
        std::vector<RecipeDifference>{{"a", "\"null\"", "null"}, {"b", "\"1\"", "1"}});
}

TEST_CASE("what the contract allows may change on --resume") {
  for (const char* override :
       {"training.epochs=9", "training.steps=100", "evaluation.bootstrap=0", "evaluation.every_epochs=3",
        "checkpoint.every_steps=7", "checkpoint.keep=5", "output.directory=elsewhere", "distributed.groups=2",
        "distributed.deterministic=true", "data.shifted=[{name: s, path: s.jsonl, limit: 3}]", "data.test=null",
        "data.test.path=other.jsonl", "data.test.limit=5"}) {
    CAPTURE(override);
    CHECK(refusal({override}).empty());
    CHECK(refusal({}, {override}).empty());
  }
}

TEST_CASE("everything else is refused by name, one line each, with both values and what to do") {
  struct Case {
    const char* override;
    const char* line;
  };
  for (const Case& each : {
           Case{"name=other", "name: was small, is now other;"},
           Case{"seed=2", "seed: was 1, is now 2;"},
           Case{"base.path=b.gguf", "base.path: was model.gguf, is now b.gguf;"},
           Case{"base.dtype=bfloat16", "base.dtype: was float32, is now bfloat16;"},
           Case{"data.train.limit=3", "data.train.limit: was null, is now 3;"},
           Case{"data.train.path=t.jsonl", "data.train.path: was train.jsonl, is now t.jsonl;"},
           Case{"data.max_tokens=64", "data.max_tokens: was 512, is now 64;"},
           Case{"task.prompt=\"{question}\\n{choices}\"", "is now \"{question}\\n{choices}\";"},
           Case{"ensemble.vary=[initialisation]", "ensemble.vary.1: was data_order, is now nothing;"},
           Case{"adapter.targets=all_linear", "adapter.targets.1: was v_proj, is now k_proj;"},
           Case{"training.batch_size=4", "training.batch_size: was 8, is now 4;"},
           Case{"training.learning_rate=[0.1, 0.2]", "training.learning_rate.0: was nothing, is now 0.1;"},
           Case{"training.clip_norm=null", "training.clip_norm: was 1, is now null;"},
           Case{"training.log_every=3", "training.log_every: was 10, is now 3;"},
       }) {
    CAPTURE(each.override);
    const std::vector<std::string> lines = refusal({each.override});
    REQUIRE_FALSE(lines.empty());
    std::string all;
    for (const std::string& line : lines) {
      CHECK_THAT(line, contains("runs/x/recipe.yaml: ") && contains("may not change on --resume") &&
                           contains("start another run"));
      all += line + "\n";
    }
    CHECK_THAT(all, contains(each.line));
  }
  const std::vector<std::string> two = refusal({"seed=2", "training.epochs=9", "adapter.rank=4"});
  REQUIRE(two.size() == 2);
  CHECK_THAT(two[0], contains("seed: ") && contains("set it back to 1"));
  CHECK_THAT(two[1], contains("adapter.rank: "));
}

TEST_CASE("members can be added, with learning rates of their own, but not taken away") {
  const std::vector<std::string> fewer = refusal({"ensemble.members=1"});
  REQUIRE(fewer.size() == 1);
  CHECK_THAT(fewer[0], contains("ensemble.members: the run has 2") && contains("Set it to 2 or more"));
  CHECK(refusal({"ensemble.members=3"}).empty());
  // The run's two members have 2.0e-4.
  CHECK(refusal({"ensemble.members=3", "training.learning_rate=[2.0e-4, 2.0e-4, 0.1]"}).empty());
  CHECK_FALSE(refusal({"ensemble.members=3", "training.learning_rate=[2.0e-4, 0.1, 2.0e-4]"}).empty());
  CHECK_FALSE(refusal({"ensemble.members=3", "training.learning_rate=0.1"}).empty());
}

TEST_CASE("a recipe stored before a key existed is read with that key's default, and one beyond us is refused whole") {
  std::string stored = resolved_yaml(with({}));
  const std::size_t line = stored.find("  log_every: 10\n");
  REQUIRE(line != std::string::npos);
  stored.erase(line, std::string("  log_every: 10\n").size());
  CHECK_NOTHROW(check_resumable(stored, with({}), "r"));
  CHECK_THROWS_AS(check_resumable(stored, with({"training.log_every=11"}), "r"), UsageError);
  for (const std::string& text : {stored + "of_tomorrow: 1\n", std::string("a: [\n"), std::string()}) {
    try {
      check_resumable(text, with({}), "runs/x/recipe.yaml");
      FAIL("no error");
    } catch (const UsageError& error) {
      CHECK_THAT(error.what(), contains("runs/x/recipe.yaml: the recipe this run was begun with cannot be read"));
    }
  }
}
