#include "launch/runs/merge_parts.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/base/errors.hpp"
#include "core/storage/predictions_file.hpp"
#include "launch/recipe/differences.hpp"
#include "launch/results/whole_checkpoint.hpp"
#include "launch/training/log_lines.hpp"

namespace chorale {
namespace {

// Keys that must be the same for members to answer the same question over the same base.
bool must_agree(const std::string& key) {
  if (key == "adapter.dropout" || key == "base.path" || key == "base.device") return false;
  return key.starts_with("task.") || key.starts_with("adapter.") || key.starts_with("base.") ||
         key == "data.max_tokens" || key == "data.too_long";
}

[[noreturn]] void refuse(const MergePart& first, const MergePart& other, const std::string& what) {
  throw UsageError(
      fmt::format("{} and {} cannot be one ensemble: {}. Merge runs of the same base, task and adapter "
                  "shape.",
                  first.run.directory(), other.run.directory(), what));
}

const Predictions* find(const MergePart& part, const std::string& name) {
  const auto found = std::find_if(part.predictions.begin(), part.predictions.end(),
                                  [&](const Predictions& set) { return set.name == name; });
  return found == part.predictions.end() ? nullptr : &*found;
}

// What tells two runs' predictions of a set apart; empty when they are about the same examples.
std::string mismatch(const Predictions& a, const Predictions& b) {
  if (a.examples != b.examples) return fmt::format("{} and {} examples", a.examples, b.examples);
  if (a.choices != b.choices) return fmt::format("{} and {} choices", a.choices, b.choices);
  for (std::size_t n = 0; n < a.examples; ++n) {
    if (a.example_ids[n] != b.example_ids[n]) {
      return fmt::format("example {} is '{}' and '{}'", n, a.example_ids[n], b.example_ids[n]);
    }
    if (a.labels[n] != b.labels[n]) {
      return fmt::format("example '{}' has label {} and {}", a.example_ids[n], a.labels[n], b.labels[n]);
    }
  }
  return "";
}

// All parts' predictions of the set called as `first`; empty, with a warning, where it cannot be put together.
Predictions merged_set(const std::vector<MergePart>& parts, const Predictions& first) {
  Predictions all = first;
  for (std::size_t p = 1; p < parts.size(); ++p) {
    const Predictions* set = find(parts[p], first.name);
    if (set == nullptr) {
      spdlog::warn("{}: only some of the runs have predictions of it ({} has none), so it is left out", first.name,
                   parts[p].run.directory());
      return {};
    }
    if (const std::string difference = mismatch(first, *set); !difference.empty()) {
      if (first.name != "validation") {
        refuse(parts.front(), parts[p], fmt::format("their sets '{}' differ: {}", first.name, difference));
      }
      spdlog::warn(
          "validation: the runs have split off different examples, so it is left out, and with it the "
          "temperature-scaled rows");
      return {};
    }
    all.members += set->members;
    all.log_probabilities.insert(all.log_probabilities.end(), set->log_probabilities.begin(),
                                 set->log_probabilities.end());
  }
  return all;
}

}  // namespace

MergePart read_part(const std::string& directory) {
  MergePart part{RunReader(directory), {}, {}, {}};
  if (!part.run.metrics()) {
    throw UsageError(fmt::format(
        "{}: is not finished, it has no metrics.json. Go on with it by `chorale train --resume`.", directory));
  }
  CheckpointContent content = read_members(part.run.checkpoint().files, 0, part.run.recipe().ensemble.members);
  part.header = std::move(content.header);
  part.members = std::move(content.members);
  const std::string predictions = part.run.file("predictions.h5");
  if (std::filesystem::exists(predictions)) part.predictions = read_predictions_file(predictions);
  return part;
}

void check_mergeable(const std::vector<MergePart>& parts) {
  const MergePart& first = parts.front();
  for (std::size_t p = 1; p < parts.size(); ++p) {
    const MergePart& other = parts[p];
    if (other.header.base_fingerprint != first.header.base_fingerprint) {
      refuse(
          first, other,
          fmt::format("base_fingerprint is {} and {}", first.header.base_fingerprint, other.header.base_fingerprint));
    }
    for (const RecipeDifference& difference :
         recipe_differences(resolved_yaml(first.run.recipe()), resolved_yaml(other.run.recipe()))) {
      if (!must_agree(difference.key)) continue;
      refuse(first, other, fmt::format("{} is {} and {}", difference.key, difference.before, difference.after));
    }
    if (other.header.factors != first.header.factors || other.header.scale != first.header.scale) {
      refuse(first, other, "adapter: their checkpoints hold other modules or shapes");
    }
  }
  for (std::size_t p = 0; p < parts.size(); ++p) {
    for (std::size_t q = 0; q < p; ++q) {
      for (const StoredMember& mine : parts[p].members) {
        for (const StoredMember& theirs : parts[q].members) {
          if (mine.parameters != theirs.parameters) continue;
          refuse(parts[q], parts[p],
                 fmt::format("member {} and member {} have the same adapters bit for bit, as the same seed gives them",
                             theirs.member, mine.member));
        }
      }
    }
  }
}

Recipe merged_recipe(const std::vector<MergePart>& parts, const std::string& output) {
  Recipe recipe = parts.front().run.recipe();
  recipe.ensemble.members = 0;
  for (const MergePart& part : parts) recipe.ensemble.members += static_cast<std::int64_t>(part.members.size());
  // One rate for each member of the whole would say nothing of how the later runs were trained.
  recipe.training.learning_rate.resize(1);
  recipe.distributed.groups = 0;
  recipe.output_directory = output;
  return recipe;
}

std::vector<const StoredMember*> merged_members(const std::vector<MergePart>& parts) {
  std::vector<const StoredMember*> members;
  for (const MergePart& part : parts) {
    for (const StoredMember& member : part.members) members.push_back(&member);
  }
  return members;
}

std::vector<Predictions> merged_predictions(const std::vector<MergePart>& parts) {
  std::vector<Predictions> sets;
  for (const Predictions& first : parts.front().predictions) {
    Predictions all = merged_set(parts, first);
    if (all.members > 0) sets.push_back(std::move(all));
  }
  return sets;
}

std::string merged_log(const std::vector<MergePart>& parts) {
  std::vector<nlohmann::json> lines;
  std::int64_t offset = 0;
  for (const MergePart& part : parts) {
    for (nlohmann::json& line : member_lines(part.run.file("log.jsonl"))) {
      line["member"] = line["member"].get<std::int64_t>() + offset;
      lines.push_back(std::move(line));
    }
    offset += static_cast<std::int64_t>(part.members.size());
  }
  return log_text(std::move(lines));
}

nlohmann::json merged_training(const std::vector<MergePart>& parts) {
  std::int64_t steps = 0;
  std::int64_t tokens = 0;
  nlohmann::json members = nlohmann::json::array();
  for (const MergePart& part : parts) {
    const nlohmann::json training = part.run.metrics()->value("training", nlohmann::json::object());
    steps = std::max(steps, training.value("steps", part.header.step));
    tokens += training.value("tokens", std::int64_t{0});
    for (const nlohmann::json& member : training.value("members", nlohmann::json::array())) members.push_back(member);
  }
  return {{"steps", steps}, {"tokens", tokens}, {"members", members}};
}

}  // namespace chorale
