#include "launch/commands/plan.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
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
#include "core/training/memory_estimate.hpp"
#include "core/weights/base_files.hpp"
#include "launch/commands/common.hpp"
#include "launch/commands/plan_costs.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kMostRanks = 1'000'000;
constexpr std::size_t kSample = 256;  // records that are tokenised; their lengths stand for all

struct Options {
  std::string recipe;
  std::vector<std::string> overrides;
  std::int64_t ranks = 0;
  std::int64_t ranks_per_node = 0;  // 0: all
  std::string device;
  std::string format = "table";
};

// Lengths of the first training records; without the file the longest that the recipe allows.
ExampleRows example_rows(const Recipe& recipe) {
  if (!recipe.data.train) {
    throw UsageError("data.train: there is nothing to train on. Give data.train.path in the recipe.");
  }
  const DataFileConfig& file = *recipe.data.train;
  ExampleRows rows;
  if (!std::filesystem::exists(file.path)) {
    rows.mean = static_cast<double>(recipe.data.max_tokens);
    rows.longest = recipe.data.max_tokens;
    rows.source = fmt::format("data.max_tokens; there is no {}", printable(file.path));
    return rows;
  }
  const auto tokenizer = load_tokenizer(recipe.base.path);
  EncodeOptions options;
  options.name = file.name;
  options.max_tokens = static_cast<std::size_t>(recipe.data.max_tokens);
  options.too_long = recipe.data.too_long;
  const std::size_t limit = file.limit == 0 ? kSample : std::min(file.limit, kSample);
  const ExampleSet set = encode_examples(read_records(file.path, limit), recipe.task, *tokenizer, options);
  const ExampleBatcher batcher(set, recipe.task.kind, recipe.task.scoring, at::kCPU, at::kFloat);
  for (std::size_t example = 0; example < batcher.size(); ++example) {
    rows.longest = std::max(rows.longest, batcher.own_rows(example));
    rows.mean += static_cast<double>(batcher.own_rows(example)) / static_cast<double>(batcher.size());
  }
  rows.common = batcher.common_rows();
  rows.source = fmt::format("first {} of {}", batcher.size(), printable(file.path));
  return rows;
}

void plan(const Options& options) {
  Recipe recipe = load_recipe(options.recipe, options.overrides);
  if (!options.device.empty()) recipe.base.device = options.device;
  if (options.ranks_per_node > options.ranks) {
    throw UsageError(fmt::format("--ranks-per-node: {} is more than the {} ranks of --ranks. Give at most as many.",
                                 options.ranks_per_node, options.ranks));
  }
  const std::int64_t groups = recipe.distributed.groups;
  const Placement placement =
      place(recipe.ensemble.members, options.ranks, groups > 0 ? std::optional<std::int64_t>(groups) : std::nullopt);
  check_batch(placement, recipe.training.batch_size);
  const auto files = open_base(recipe.base.path);
  const auto on_node = static_cast<std::uint64_t>(options.ranks_per_node > 0 ? options.ranks_per_node : options.ranks);
  const std::uint64_t memory = recipe.base.device == "cuda" ? 0 : physical_memory() / on_node;
  const Plan plan = make_plan(recipe, files->config(), placement, example_rows(recipe), memory);
  write_output(options.format == "json" ? to_json(plan).dump(2) + "\n"
                                        : plan_text(plan, recipe.name, columns_of(STDOUT_FILENO)));
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
                   "Ranks that share a machine with as much memory as this one (all of them)")
      ->check(CLI::Range(std::int64_t{1}, kMostRanks));
  command->add_option("--device", options->device, "auto, cpu or cuda, instead of the recipe's")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  command->add_option("--format", options->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  command->footer("Example:\n  chorale plan recipes/quickstart.yaml --ranks 4 ensemble.members=8\n");
  command->callback([options] { plan(*options); });
}

}  // namespace chorale
