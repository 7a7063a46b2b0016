// What a valid recipe means: defaults, forms a value may take, overrides, and the resolved text.
#include "launch/recipe/recipe.hpp"

#include <cstdint>

#include "launch/recipe/notes.hpp"
#include "launch/recipe_support.hpp"
#include "support/catch.hpp"

namespace chorale {
namespace {

TEST_CASE("defaults are those of the contract") {
  const Recipe recipe = with({});
  CHECK(recipe.name == "small");
  CHECK(load_text(with_line(1, "")).name == "run");
  CHECK(load_text(with_line(2, "")).seed == 1234);
  CHECK(recipe.base.dtype == BaseDtype::float32);
  CHECK(recipe.base.device == "auto");
  CHECK(recipe.data.train->name == "train");
  CHECK(recipe.data.train->limit == 0);
  CHECK(recipe.data.max_tokens == 512);
  CHECK(recipe.data.too_long == TooLong::error);
  CHECK(recipe.task.scoring == Scoring::label_token);
  CHECK(recipe.task.labels == LabelStyle::letters);
  CHECK(recipe.adapter.targets == std::vector<std::string>{"q_proj", "v_proj"});
  CHECK(recipe.adapter.layers.empty());
  CHECK(recipe.training.epochs == 3);
  CHECK(recipe.training.steps == 0);
  CHECK(recipe.training.learning_rate == std::vector<double>{2e-4});
  CHECK(recipe.training.clip_norm == 1.0);
  CHECK_FALSE(recipe.training.kl_to_base);
  CHECK_FALSE(recipe.training.early_stopping);
  CHECK(recipe.evaluation.bootstrap == 1000);
  CHECK(recipe.output_directory == "runs/small");
  CHECK(recipe.distributed.watchdog_seconds == 600);
}

TEST_CASE("values in all their forms") {
  CHECK(with({"adapter.targets=all_linear"}).adapter.targets == kAdapterTargets);
  CHECK(with({"adapter.targets=[down_proj, k_proj]"}).adapter.targets ==
        std::vector<std::string>{"k_proj", "down_proj"});
  CHECK(with({"adapter.layers=20-23"}).adapter.layers == std::vector<std::int64_t>{20, 21, 22, 23});
  CHECK(with({"adapter.layers=7"}).adapter.layers == std::vector<std::int64_t>{7});
  CHECK(with({"adapter.layers=[9, 0, 3-5]"}).adapter.layers == std::vector<std::int64_t>{0, 3, 4, 5, 9});
  CHECK(with({"adapter.layers=all"}).adapter.layers.empty());
  CHECK(with({"training.steps=40"}).training.steps == 40);
  CHECK(with({"training.learning_rate=[1.0e-4, .5]"}).training.learning_rate == std::vector<double>{1e-4, 0.5});
  CHECK_FALSE(with({"training.clip_norm=null"}).training.clip_norm);
  CHECK(with({"training.prefix_cache=off"}).training.prefix_cache == PrefixCacheMode::off);
  CHECK(with({"training.prefix_cache=2GiB"}).training.prefix_cache_bytes == std::uint64_t{2} << 30);
  CHECK(with({"training.prefix_cache=512MiB"}).training.prefix_cache_bytes == std::uint64_t{512} << 20);
  CHECK(with({"training.prefix_cache=1000"}).training.prefix_cache_bytes == 1000);
  CHECK(with({"training.prefix_cache=auto"}).training.prefix_cache == PrefixCacheMode::automatic);
  CHECK(with({"seed=18446744073709551615"}).seed == UINT64_MAX);
  const Recipe stopping = with({"training.early_stopping={metric: ece, patience: 4}"});
  CHECK(stopping.training.early_stopping->metric == StoppingMetric::ece);
  const Recipe kl = with({"training.regularisers=[{kind: kl_to_base, weight: 0.3, direction: base_to_member}]"});
  CHECK(kl.training.kl_to_base->weight == 0.3);
  CHECK(kl.training.kl_to_base->direction == KlDirection::base_to_member);
  const Recipe vary = with({"ensemble.vary=[data_order]"});
  CHECK_FALSE(vary.ensemble.vary_initialisation);
  CHECK(vary.ensemble.vary_data_order);
}

TEST_CASE("the labels' default follows the form of the choices") {
  const Recipe fixed = with({"task.choices=[yes, no]", "task.prompt='{question}'"});
  CHECK(fixed.task.fixed_choices == std::vector<std::string>{"yes", "no"});
  CHECK(fixed.task.choices_field.empty());
  CHECK(fixed.task.labels == LabelStyle::options);
  CHECK(with({"task.labels=options"}).task.labels == LabelStyle::options);
  CHECK(with({"task.kind=completion", "task.choices=null", "task.prompt='{question}'"}).task.kind ==
        TaskKind::completion);
}

TEST_CASE("overrides replace, create, remove and index") {
  const std::vector<std::string> shifted = {"data.shifted=[{name: a, path: a.jsonl}, {name: b, path: b.csv}]"};
  Recipe recipe = with({shifted[0], "data.shifted.1.limit=20", "data.shifted.0.labelled=false"});
  CHECK(recipe.data.shifted.at(1).limit == 20);
  CHECK_FALSE(recipe.data.shifted.at(0).labelled);
  CHECK(with({shifted[0], "data.shifted=[]"}).data.shifted.empty());
  CHECK_FALSE(with({"data.validation=null"}).data.validation_fraction > 0);
  CHECK(with({"data.validation={path: v.jsonl}"}).data.validation->path == "v.jsonl");
  CHECK(with({"training.schedule.kind=constant"}).training.schedule.kind == ScheduleKind::constant);
  CHECK(with({"training.epochs=1", "training.epochs=2"}).training.epochs == 2);
  CHECK(with({"output.directory=runs/a=b"}).output_directory == "runs/a=b");
  CHECK(with({"training.epochs=null", "training.steps=5"}).training.steps == 5);
}

TEST_CASE("overrides that make no sense say why") {
  const auto message = [](const std::string& text) { return mistakes_of(small_recipe(), {text}).at(0); };
  CHECK(message("training.epochs") ==
        "override 'training.epochs': not of the form key=value; write e.g. training.epochs=1");
  CHECK(message("=3").find("key=value") != std::string::npos);
  CHECK(message("training.epochs=").find("no value after '='") != std::string::npos);
  CHECK(message("training..epochs=1").find("empty part") != std::string::npos);
  CHECK(message("base.path.x=1").find("base.path is a single value") != std::string::npos);
  CHECK(message("task.choices=[a, b").find("not valid YAML") != std::string::npos);
  CHECK(message("data.shifted.0.limit=2").find("data.shifted.0") != std::string::npos);
  CHECK(mistakes_of(small_recipe(), {"data.shifted=[]", "data.shifted.0.limit=2"}).at(0).find("list of 0 items") !=
        std::string::npos);
  CHECK(message("task.choices=*x").find("override 'task.choices=*x'") != std::string::npos);
}

TEST_CASE("remarks about what a recipe leaves out") {
  CHECK(recipe_notes(with({})).empty());
  CHECK(recipe_notes(with({"data.validation=null"})).at(0).find("temperature") != std::string::npos);
  CHECK(recipe_notes(with({"data.test=null", "data.shifted=[{name: a, path: b}]"})).at(0).find("detection") !=
        std::string::npos);
  CHECK(recipe_notes(with({"ensemble.vary=[]"})).at(0).find("all members are equal") != std::string::npos);
}

}  // namespace
}  // namespace chorale
