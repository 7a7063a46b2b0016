// Every mistake: where it is said to be, which key it names, and what it tells the user to do.
#include "launch/recipe_support.hpp"
#include "support/catch.hpp"

namespace chorale {
namespace {

struct Case {
  std::size_t line;    // of the small recipe, replaced by ...
  std::string text;    // ... this, where @ marks the spot the message must name
  std::string key;     // "" for none
  std::string phrase;  // part of the message
};

const std::vector<Case> kCases = {
    // Names of keys.
    {13, "@trainig: {epochs: 1}", "trainig", "did you mean 'training'?"},
    {13, "training: {@epoch: 1}", "training.epoch", "did you mean 'epochs'?"},
    {13, "@rank: 8", "rank", "it belongs to 'adapter'"},
    {13, "training: {@prompt: x}", "training.prompt", "it belongs to 'task'"},
    {13, "training: {@zzzzzz: x}", "training.zzzzzz", "known here: epochs, steps"},
    {13, "adapter: {@seed: 3}", "adapter.seed", "it belongs at the top of the recipe"},
    {7, "  test: {path: t.jsonl, @labelled: false}", "data.test.labelled", "it belongs to 'data.shifted[]'"},
    {13, "@name: again", "name", "given twice (first at line 1); keep one"},
    {13, "training: {epochs: 1, @epochs: 2}", "epochs", "given twice"},
    {13, "<<: @*base", "", "aliases"},
    {13, "? @[a, b]\n: 1", "", "a key must be a single word"},
    // Kinds of values.
    {1, "name: @2024", "name", "put it in quotes: \"2024\""},
    {1, "name: @true", "name", "put it in quotes: \"true\""},
    {1, "name: @a/b", "name", "one word of letters"},
    {1, "name: @[a]", "name", "must be text, not a list"},
    {1, "name: @\"a\\e[31m\"", "name", "control characters"},
    {2, "seed: @-1", "seed", "whole number from 0"},
    {2, "seed: @18446744073709551616", "seed", "whole number from 0"},
    {2, "seed: @1.5", "seed", "whole number"},
    {3, "base: @model.gguf", "base", "must be a map of keys: path, dtype, device"},
    {3, "base: {path: @\" \"}", "base.path", "is blank"},
    {3, "base: @{dtype: float32}", "base.path", "is missing; give the model"},
    {3, "base: {path: m, dtype: @float16}", "base.dtype",
     "one of float32, bfloat16, float8, nf4, not 'float16'; did you mean 'bfloat16'?"},
    {3, "base: {path: m, device: @gpu}", "base.device", "one of auto, cpu, cuda"},
    {3, "base: {path: @true}", "base.path", "in quotes"},
    // Data.
    {5, "  train: @train.jsonl", "data.train", "must be a map of keys: path, limit"},
    {5, "  @train: null", "data.train", "is empty; give the training set"},
    {5, "  train: {path: t, limit: @0}", "data.train.limit", "whole number from 1"},
    {5, "  train: {path: t, limit: @1e3}", "data.train.limit", "not '1e3'"},
    {6, "  validation: {fraction: @1.0}", "data.validation.fraction", "above 0 and below 1"},
    {6, "  validation: @{fraction: 0.1, path: v.jsonl}", "data.validation", "both fraction and path; keep one"},
    {6, "  validation: @{}", "data.validation", "needs fraction: 0.1"},
    {6, "  validation: {fraction: 0.1, limit: @5}", "data.validation.limit", "limit train instead"},
    {7, "  shifted: @{name: a, path: b}", "data.shifted", "must be a list"},
    {7, "  shifted: [{name: @a/b, path: b}]", "data.shifted.0.name", "use letters, digits"},
    {7, "  shifted: [{name: @test, path: b}]", "data.shifted.0.name", "the name of another data set"},
    {7, "  shifted: [{name: a, path: b}, {name: @a, path: c}]", "data.shifted.1.name", "used twice"},
    {7, "  shifted: [@{name: a}]", "data.shifted.0.path", "is missing"},
    {7, "  shifted: [{name: a, path: b, labelled: @no}]", "data.shifted.0.labelled", "true or false, not 'no'"},
    {7, "  max_tokens: @\"512\"", "data.max_tokens", "not '512' in quotes"},
    {7, "  too_long: @cut", "data.too_long", "one of error, skip, truncate_left"},
    // Task.
    {9, "  prompt: @\"\"", "task.prompt", "is blank"},
    {9, "  prompt: @{question}", "task.prompt", "must be text, not a map"},
    {9, "  prompt: @\"{question\"", "task.prompt", "{"},
    {10, "  choices: @[yes]", "task.choices", "at least two options"},
    {10, "  choices: [yes, no, @yes]", "task.choices.2", "listed twice"},
    {10, "  choices: [@1, two]", "task.choices.0", "put it in quotes: \"1\""},
    {10, "  choices: @{a: b}", "task.choices", "list the options"},
    {10, "  kind: completion\n  choices: @choices", "task.choices", "nothing for kind: completion"},
    {10, "  kind: completion\n  labels: @letters", "task.labels", "nothing for kind: completion"},
    {11, "  scoring: @likelihood", "task.scoring", "one of label_token, option_likelihood"},
    {11, "  scoring: option_likelihood\n  labels: @letters", "task.labels", "label_token only; remove it"},
    {11, "  scoring: @\"\"", "task.scoring", "one of label_token"},
    // Ensemble and adapter.
    {12, "ensemble: {members: @0}", "ensemble.members", "whole number from 1"},
    {12, "ensemble: {members: @two}", "ensemble.members", "whole number from 1"},
    {12, "ensemble: {vary: [@initialization]}", "ensemble.vary.0", "did you mean 'initialisation'?"},
    {12, "ensemble: {vary: [data_order, @data_order]}", "ensemble.vary.1", "listed twice"},
    {12, "ensemble: {vary: @data_order}", "ensemble.vary", "must be a list"},
    {13, "adapter: {kind: @dora}", "adapter.kind", "must be lora, not 'dora'"},
    {13, "adapter: {rank: @8x}", "adapter.rank", "not '8x'"},
    {13, "adapter: {rank: @010}", "adapter.rank", "not '010'"},
    {13, "adapter: {rank: @99999999999999999999}", "adapter.rank", "whole number from 1"},
    {13, "adapter: {alpha: @.nan}", "adapter.alpha", "a number above 0, not '.nan'"},
    {13, "adapter: {alpha: @.inf}", "adapter.alpha", "a number above 0"},
    {13, "adapter: {alpha: @1e999}", "adapter.alpha", "a number above 0"},
    {13, "adapter: {dropout: @1.0}", "adapter.dropout", "at least 0 and below 1"},
    {13, "adapter: {targets: @all}", "adapter.targets", "all_linear"},
    {13, "adapter: {targets: []}", "adapter.targets", "empty list"},
    {13, "adapter: {targets: [q_proj, @q_prj]}", "adapter.targets.1", "did you mean 'q_proj'?"},
    {13, "adapter: {targets: [q_proj, @q_proj]}", "adapter.targets.1", "q_proj is listed twice"},
    {13, "adapter: {layers: @29-20}", "adapter.layers", "write 20-29"},
    {13, "adapter: {layers: [1, @0-3]}", "adapter.layers.1", "layer 1 is listed twice"},
    {13, "adapter: {layers: @0-99999999999}", "adapter.layers", "a range such as 20-29"},
    {13, "adapter: {layers: @-3}", "adapter.layers", "layers count from 0"},
    {13, "adapter: {layers: @top}", "adapter.layers", "must be all, a layer"},
    {13, "@adapter:", "adapter", "is empty, must be a map"},
    // Training.
    {13, "training: {epochs: 1, steps: @2}", "training.steps", "training.epochs=null"},
    {13, "training: {micro_batch_size: @automatic}", "training.micro_batch_size", "must be auto or a whole number"},
    {13, "training: {recompute: @true}", "training.recompute", "one of none, light, full"},
    {13, "training: {learning_rate: @8x}", "training.learning_rate", "a number above 0, not '8x'"},
    {13, "training: {learning_rate: @[1.0e-4]}", "training.learning_rate", "1 values for 2 members"},
    {13, "training: {learning_rate: [1.0e-4, @-1]}", "training.learning_rate.1", "a number above 0"},
    {13, "training: {schedule: @linear}", "training.schedule", "must be a map of keys: kind, warmup_fraction"},
    {13, "training: {schedule: {kind: @lineer}}", "training.schedule.kind", "did you mean 'linear'?"},
    {13, "training: {optimiser: {beta1: @1}}", "training.optimiser.beta1", "below 1"},
    {13, "training: {weight_decay: @0.1}", "training.weight_decay", "must be a map of keys: A, B"},
    {13, "training: {weight_decay: {@a: 0.1}}", "training.weight_decay.a", "did you mean 'A'?"},
    {13, "training: {clip_norm: @0}", "training.clip_norm", "above 0"},
    {13, "training: {clip_norm: @off}", "training.clip_norm", "a number above 0"},
    {13, "training: {regularisers: [@{kind: kl_to_base}]}", "training.regularisers.0.weight", "is missing"},
    {13, "training: {regularisers: [{kind: @l2, weight: 1}]}", "training.regularisers.0.kind", "kl_to_base"},
    {13, "training: {regularisers: [{kind: kl_to_base, weight: 1}, {kind: @kl_to_base, weight: 2}]}",
     "training.regularisers.1.kind", "listed twice; keep one"},
    {13, "training: {early_stopping: {patience: @0}}", "training.early_stopping.patience", "whole number from 1"},
    {13, "training: {early_stopping: {metric: @loss}}", "training.early_stopping.metric", "one of nll, accuracy, ece"},
    {13, "training: {prefix_cache: @2GB}", "training.prefix_cache", "512MiB or 2GiB"},
    {13, "training: {prefix_cache: @0}", "training.prefix_cache", "above 0"},
    {13, "training: {prefix_cache: @20000000TiB}", "training.prefix_cache", "512MiB or 2GiB"},
    {13, "training: {@log_every: }", "training.log_every", "not empty"},
    // The rest.
    {13, "evaluation: {temperature: @yes}", "evaluation.temperature", "true or false, not 'yes'"},
    {13, "evaluation: {temperature: @\"true\"}", "evaluation.temperature", "in quotes"},
    {13, "evaluation: {bootstrap: @-1}", "evaluation.bootstrap", "whole number from 0"},
    {13, "evaluation: {ece_bins: @15.0}", "evaluation.ece_bins", "not '15.0'"},
    {13, "checkpoint: {every_minutes: @0}", "checkpoint.every_minutes", "above 0"},
    {13, "checkpoint: {on_failure: @ignore}", "checkpoint.on_failure", "stop, continue"},
    {13, "checkpoint: {keep: @0}", "checkpoint.keep", "whole number from 1"},
    {13, "output: {directory: @[runs]}", "output.directory", "must be text"},
    {13, "distributed: {backend: @gloo}", "distributed.backend", "one of auto, mpi, nccl"},
    {13, "distributed: {groups: @0}", "distributed.groups", "must be auto or a whole number"},
    // YAML itself.
    {13, "adapter: @&a {rank: 8}", "", "anchors (&a) are not allowed"},
    {13, "adapter: @!!map {rank: 8}", "", "is not allowed; write the plain value"},
    {13, "adapter: {rank: @!!int 8}", "", "is not allowed; write the plain value"},
    {13, "---\n@a: b", "", "a second YAML document"},
    {13, "output: {directory: \"a@\x04\"}", "", "control character 0x04; remove it"},
    {13, "output: {directory: \"a@\xff\"}", "", "not UTF-8; save the file as UTF-8"},
};

struct Marked {
  std::string text;
  std::string place;  // "line:column" of the mark
};

Marked without_mark(std::string text, std::size_t first_line) {
  const std::size_t mark = text.find('@');
  if (mark == text.npos) return {text, ""};
  text.erase(mark, 1);
  const std::string before = text.substr(0, mark);
  const auto breaks = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
  const std::size_t start = before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1;
  return {text, std::to_string(first_line + breaks) + ":" + std::to_string(mark - start + 1)};
}

TEST_CASE("the small recipe of these tests is valid") {
  REQUIRE(mistakes_of(small_recipe()).empty());
}

TEST_CASE("every mistake is placed, names its key and says what to do") {
  REQUIRE(kCases.size() >= 60);
  for (const Case& one : kCases) {
    const Marked marked = without_mark(one.text, one.line);
    INFO(marked.text);
    const std::vector<std::string> lines = mistakes_of(with_line(one.line, marked.text));
    REQUIRE_FALSE(lines.empty());
    INFO(lines.front());
    CHECK(lines.size() == 1);
    const std::string key = one.key.empty() ? std::string() : one.key + ": ";
    if (marked.place.empty()) {
      CHECK(lines.front().find(": " + key) != std::string::npos);
    } else {
      CHECK(lines.front().starts_with("r.yaml:" + marked.place + ": " + key));
    }
    CHECK(lines.front().find(one.phrase) != std::string::npos);
  }
}

TEST_CASE("all mistakes come in one error, in the order of the file, overrides last") {
  const std::vector<std::string> lines =
      mistakes_of(with_line(2, "sed: 1\nbase: {path: m}"), {"training.epochs=many", "adapter.rnk=4"});
  // The second `base` is a duplicate as well.
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].starts_with("r.yaml:2:1: sed: "));
  CHECK(lines[1].find(": base: ") != std::string::npos);
  CHECK(lines[3].starts_with("override 'training.epochs=many': training.epochs: "));
  CHECK(lines[2].starts_with("override 'adapter.rnk=4': adapter.rnk: unknown key; did you mean 'rank'?"));
}

TEST_CASE("missing sections and keys are named with what to write") {
  const std::vector<std::string> lines = mistakes_of("name: x\n");
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].starts_with("r.yaml:1:1: base: is missing"));
  CHECK(lines[1].starts_with("r.yaml:1:1: data: is missing"));
  CHECK(lines[2].starts_with("r.yaml:1:1: task: is missing"));
  CHECK(mistakes_of(with_line(10, "")).front().find("task.choices: is missing") != std::string::npos);
  CHECK(mistakes_of(with_line(9, "")).front().find("task.prompt: is missing") != std::string::npos);
  CHECK(mistakes_of(with_line(5, "")).front().find("data.train: is missing") != std::string::npos);
}

TEST_CASE("early stopping without validation data is a mistake") {
  const std::vector<std::string> lines =
      mistakes_of(with_line(6, "  too_long: skip"), {"training.early_stopping={metric: nll}"});
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("training.early_stopping: needs validation data") != std::string::npos);
}

TEST_CASE("a long list of mistakes is cut with a count") {
  std::string text = small_recipe();
  for (int i = 0; i < 200; ++i) text += "unknown_" + std::to_string(i) + ": 1\n";
  const std::vector<std::string> lines = mistakes_of(text);
  CHECK(lines.size() == 41);
  CHECK(lines.back() == "... and 160 more");
}

TEST_CASE("limits: size, levels, emptiness, files that are none") {
  CHECK(mistakes_of("").front().find("the recipe is empty") != std::string::npos);
  CHECK(mistakes_of("# only a comment\n").front().find("the recipe is empty") != std::string::npos);
  CHECK(mistakes_of("just words").front().find("must be a map of keys: name, seed") != std::string::npos);
  CHECK(mistakes_of("a: [1, 2").front().find("not valid YAML") != std::string::npos);
  CHECK(mistakes_of(small_recipe() + std::string((1 << 20) + 1, '#')).front().find("1 MiB") != std::string::npos);
  CHECK(mistakes_of(small_recipe() + "#" + std::string(100000, 'x') + "\n").empty());
  const std::string deep = "x: " + std::string(5000, '[') + std::string(5000, ']') + "\n";
  CHECK(mistakes_of(small_recipe() + deep).front().find("deeper than 64 levels") != std::string::npos);
  CHECK(mistakes_of(std::string(400000, '[')).front().find("deeper than 64") != std::string::npos);
  CHECK_THROWS_AS(load_recipe("/nonexistent/r.yaml", {}), UsageError);
  CHECK_THROWS_AS(load_recipe("/", {}), UsageError);
  CHECK_THROWS_AS(load_recipe("/dev/zero", {}), UsageError);
}

}  // namespace
}  // namespace chorale
