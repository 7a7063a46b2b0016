#include "launch/commands/plan.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/data/records.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/report/table.hpp"
#include "core/tokenizer/tokenizer.hpp"
#include "core/weights/base_files.hpp"
#include "core/weights/config_json.hpp"
#include "launch/commands/common.hpp"
#include "launch/commands/plan_costs.hpp"
#include "launch/commands/plan_device.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/training/memory_check.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kMostRanks = 1'000'000;
constexpr std::size_t kSample = 256;  // records that are tokenised; their lengths stand for all

// False for a directory that has only a shape, config.json: enough for a plan.
bool has_weights(const std::string& base) {
  namespace fs = std::filesystem;
  return !fs::exists(fs::path(base) / "config.json") || fs::exists(fs::path(base) / "model.safetensors") ||
         fs::exists(fs::path(base) / "model.safetensors.index.json");
}

ModelConfig shape_of(const std::string& base) {
  return has_weights(base) ? open_base(base)->config() : read_model_config(base);
}

struct Options {
  std::string recipe;
  std::vector<std::string> overrides;
  std::int64_t ranks = 0;
  std::int64_t ranks_per_node = 0;  // 0: all
  std::string device;
  PlanSpeeds speeds;
  std::string format = "table";
};

// Of `records` that begin a file, all of which it has: the lines of the rest are taken to be like theirs.
std::int64_t all_records(const DataFileConfig& file, const RecordFile& records, std::size_t limit) {
  std::size_t count = records.records.size();
  if (count == limit && count > 0 && (file.limit == 0 || file.limit > limit)) {
    std::ifstream text(file.path);
    const auto lines = std::count(std::istreambuf_iterator<char>(text), std::istreambuf_iterator<char>(), '\n');
    const double per_line = static_cast<double>(count) / static_cast<double>(records.records.back().line);
    count = std::max(count, static_cast<std::size_t>(static_cast<double>(lines) * per_line));
  }
  return static_cast<std::int64_t>(file.limit == 0 ? count : std::min(count, file.limit));
}

// Lengths of the first training records; without the file the longest that the recipe allows.
ExampleRows example_rows(const Recipe& recipe) {
  if (!recipe.data.train) {
    throw UsageError("data.train: there is nothing to train on. Give data.train.path in the recipe.");
  }
  const DataFileConfig& file = *recipe.data.train;
  ExampleRows rows;
  const bool has_tokenizer =
      !std::filesystem::is_directory(recipe.base.path) || std::filesystem::exists(recipe.base.path + "/tokenizer.json");
  const bool has_data = std::filesystem::exists(file.path);
  if (!has_data || (!has_tokenizer && !has_weights(recipe.base.path))) {
    rows.mean = static_cast<double>(recipe.data.max_tokens);
    rows.longest = recipe.data.max_tokens;
    rows.shortest = 1;
    rows.source = fmt::format("data.max_tokens; there is no {}",
                              has_data ? printable(recipe.base.path) + "/tokenizer.json" : printable(file.path));
    return rows;
  }
  const auto tokenizer = load_tokenizer(recipe.base.path);
  EncodeOptions options;
  options.name = file.name;
  options.max_tokens = static_cast<std::size_t>(recipe.data.max_tokens);
  options.too_long = recipe.data.too_long;
  const std::size_t limit = file.limit == 0 ? kSample : std::min(file.limit, kSample);
  const RecordFile records = read_records(file.path, limit);
  rows.examples = all_records(file, records, limit);
  const ExampleSet set = encode_examples(records, recipe.task, *tokenizer, options);
  const ExampleBatcher batcher(set, recipe.task.kind, recipe.task.scoring, at::kCPU, at::kFloat);
  rows.shortest = batcher.own_rows(0);
  for (std::size_t example = 0; example < batcher.size(); ++example) {
    rows.longest = std::max(rows.longest, batcher.own_rows(example));
    rows.shortest = std::min(rows.shortest, batcher.own_rows(example));
    rows.mean += static_cast<double>(batcher.own_rows(example)) / static_cast<double>(batcher.size());
  }
  rows.common = batcher.common_rows();
  rows.source = fmt::format("first {} of {}", batcher.size(), printable(file.path));
  return rows;
}

Plan plan_of(const Options& options, const Recipe& recipe) {
  if (options.ranks_per_node > options.ranks) {
    throw UsageError(fmt::format("--ranks-per-node: {} is more than the {} ranks of --ranks. Give at most as many.",
                                 options.ranks_per_node, options.ranks));
  }
  const std::int64_t on_node = options.ranks_per_node > 0 ? options.ranks_per_node : options.ranks;
  const PlanDevice device = plan_device(options.device.empty() ? recipe.base.device : options.device, recipe.base.dtype,
                                        on_node, options.speeds);
  const std::int64_t groups = recipe.distributed.groups;
  const Placement placement =
      place(recipe.ensemble.members, options.ranks, groups > 0 ? std::optional<std::int64_t>(groups) : std::nullopt);
  check_batch(placement, recipe.training.batch_size);
  const ModelConfig model = shape_of(recipe.base.path);
  Plan plan = make_plan(recipe, model, placement, even_nodes(options.ranks, on_node), example_rows(recipe), device);
  plan.nodes_given = options.ranks_per_node > 0;
  plan.has_weights = has_weights(recipe.base.path);
  return plan;
}

void plan(const Options& options) {
  const Recipe recipe = load_recipe(options.recipe, options.overrides);
  const Plan plan = plan_of(options, recipe);
  write_output(options.format == "json" ? to_json(plan).dump(2) + "\n"
                                        : plan_text(plan, recipe.name, columns_of(STDOUT_FILENO)));
  const auto [need, place] = tightest_place(plan);
  check_memory(need, place);
}

}  // namespace

void add_plan_command(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("plan", "Show which ranks would hold which members, and what a step would cost them");
  command->add_option("RECIPE", options->recipe, "A YAML recipe (recipes/README.md lists every key)")->required();
  command->add_option("OVERRIDES", options->overrides, "dotted.key=value, values as in YAML; list items by index");
  command->add_option("--ranks", options->ranks, "Ranks the run would have")
      ->required()
      ->check(CLI::Range(std::int64_t{1}, kMostRanks));
  command
      ->add_option("--ranks-per-node", options->ranks_per_node,
                   "Ranks on each node, the rest on the last; without it all on one, and memory is asked for a single "
                   "rank")
      ->check(CLI::Range(std::int64_t{1}, kMostRanks));
  command->add_option("--device", options->device,
                      "What each rank computes on: auto, cpu (machines like this one), cuda, h100, h200, a100, or its "
                      "memory, e.g. 24GiB (the recipe's)");
  command->add_option("--peak", options->speeds.teraflops, "TFLOP/s of one rank at most, instead of the device's")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--bandwidth", options->speeds.gigabytes,
                   "GB/s out of one rank at most, instead of the device's and its network's")
      ->check(CLI::PositiveNumber);
  command->add_option("--format", options->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  command->footer(
      "No weights are needed: a base that is a directory with only config.json has a shape, and that is enough. The\n"
      "plan of a base that does not fit is shown, and ends with exit code 2.\n\n"
      "Examples:\n"
      "  chorale plan recipes/quickstart.yaml --ranks 4 ensemble.members=8\n"
      "  chorale plan mine.yaml --ranks 1024 --ranks-per-node 8 --device h100 \\\n"
      "    base.dtype=bfloat16 ensemble.members=256\n");
  command->callback([options] { plan(*options); });
}

}  // namespace chorale
