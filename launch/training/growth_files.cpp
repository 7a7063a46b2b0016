#include "launch/training/growth_files.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <set>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/base/file_calls.hpp"
#include "core/base/whole_file.hpp"
#include "core/storage/checkpoint_file.hpp"
#include "core/storage/checkpoint_upkeep.hpp"
#include "launch/recipe/differences.hpp"
#include "launch/results/run_reader.hpp"
#include "launch/results/whole_checkpoint.hpp"
#include "launch/training/event_log.hpp"
#include "launch/training/log_lines.hpp"
#include "launch/training/run_result.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

void remove_tree(const std::string& path) {
  if (const int failure = file_calls::remove_tree(path); failure != 0) throw_storage_error("remove", path, failure);
}

// `from` takes the place of whatever `to` is; it stays away where an earlier try has moved it.
void move(const std::string& from, const std::string& to) {
  if (!exists(from)) return;
  remove_tree(to);
  make_directories(fs::path(to).parent_path().string());
  if (const int failure = file_calls::rename(from, to); failure != 0) throw_storage_error("write", to, failure);
  sync_directory(fs::path(to).parent_path().string());
}

// ensemble.members of a directory's recipe.yaml; nothing when there is none.
std::optional<std::int64_t> members_in(const std::string& directory) {
  const std::optional<std::string> text = read_whole_file(directory + "/recipe.yaml");
  if (!text) return std::nullopt;
  for (const auto& [key, value] : recipe_settings(*text)) {
    std::int64_t members = 0;
    if (key != "ensemble.members") continue;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), members);
    if (error == std::errc() && end == value.data() + value.size()) return members;
  }
  return std::nullopt;
}

FoundCheckpoint newest(const std::string& directory) {
  CheckpointSearch search = find_latest_valid(directory + "/checkpoints");
  if (!search.found) {
    throw InputError(fmt::format(
        "{}/checkpoints: holds no valid checkpoint, so that no members can join. Remove {}/metrics.json and go on by "
        "--resume, which trains all of them.",
        directory, directory));
  }
  return *std::move(search.found);
}

// A join that was cut short may have left the run with the adapters of all members and without its metrics.
bool holds_member(const std::string& run, std::int64_t member) {
  const CheckpointSearch search = find_latest_valid(run + "/checkpoints");
  if (!search.found) return false;
  const auto number = static_cast<std::uint32_t>(member);
  return std::any_of(search.found->files.begin(), search.found->files.end(), [&](const std::string& file) {
    return !read_checkpoint_file(file, {&number, 1}).members.empty();
  });
}

// Whether the run with the recipe `stored` has been trained as long as `recipe` says. What else may change is of
// evaluation, which all members will go through again.
bool is_trained(const std::string& stored, const Recipe& recipe) {
  const std::string& run = recipe.output_directory;
  const std::int64_t members = load_recipe_text(stored, run + "/recipe.yaml").ensemble.members;
  if (!exists(run + "/metrics.json")) return holds_member(run, members);
  const std::vector<RecipeDifference> differences =
      recipe_differences(stored, resolved_yaml(with_members(recipe, members)));
  return std::none_of(differences.begin(), differences.end(), [](const RecipeDifference& difference) {
    return difference.key == "training.epochs" || difference.key == "training.steps";
  });
}

void warn_of_lost_sets(const RunFiles& files, const nlohmann::json& metrics) {
  const std::optional<std::string> text = read_whole_file(files.file("metrics.json"));
  const nlohmann::json before = nlohmann::json::parse(text.value_or(""), nullptr, /*allow_exceptions=*/false);
  if (!before.is_object() || !before.value("datasets", nlohmann::json()).is_object()) return;
  for (const auto& [name, ignored] : before["datasets"].items()) {
    if (metrics["datasets"].contains(name)) continue;
    spdlog::warn("the predictions of '{}' were of fewer members and are dropped; `chorale evaluate` makes them again",
                 name);
  }
}

}  // namespace

std::string growth_directory(const std::string& run) {
  return run + "/growth";
}

Recipe with_members(Recipe recipe, std::int64_t members) {
  recipe.ensemble.members = members;
  std::vector<double>& rates = recipe.training.learning_rate;
  if (rates.size() > 1) rates.resize(static_cast<std::size_t>(members));
  return recipe;
}

GrowthStage next_stage(const Recipe& recipe) {
  const std::string& run = recipe.output_directory;
  const std::string path = run + "/recipe.yaml";
  const GrowthStage whole{recipe.ensemble.members, 0};
  const std::optional<std::string> stored = read_whole_file(path);
  // A merged run, or one with more members, is refused where it is entered.
  if (!stored || exists(run + "/" + kMergedName)) return whole;
  check_resumable(*stored, recipe, path);
  const std::int64_t members = load_recipe_text(*stored, path).ensemble.members;
  if (members >= recipe.ensemble.members) return whole;
  if (!is_trained(*stored, recipe)) return {members, 0};
  const std::int64_t begun = members_in(growth_directory(run)).value_or(0);
  if (begun > recipe.ensemble.members) {
    throw UsageError(fmt::format(
        "ensemble.members: {} is on its way from {} to {} members, the recipe asks for {}. Set it to {} or more, or "
        "remove {} to give the new ones up.",
        run, members, begun, recipe.ensemble.members, begun, growth_directory(run)));
  }
  return {begun > members ? begun : recipe.ensemble.members, members};
}

std::string growth_note(const std::string& run) {
  const std::int64_t members = members_in(run).value_or(0);
  const std::int64_t begun = members_in(growth_directory(run)).value_or(0);
  if (begun <= members) return "";
  return fmt::format("is on its way from {} to {} members; --resume with ensemble.members={} goes on", members, begun,
                     begun);
}

void clear_joined_growth(const std::string& run) {
  const std::string growth = growth_directory(run);
  const std::string removed = growth + ".tmp";
  remove_tree(removed);
  const std::optional<std::int64_t> members = members_in(run);
  const std::optional<std::int64_t> begun = members_in(growth);
  if (!members || !begun || *begun > *members) return;
  move(growth, removed);  // at one stroke: half of it must not be taken for another growth
  remove_tree(removed);
}

void check_can_grow(const std::string& run, std::int64_t members, const std::string& base_fingerprint) {
  const FoundCheckpoint found = newest(run);
  const CheckpointContent content = read_members(found.files, 0, members);
  if (content.header.base_fingerprint != base_fingerprint) {
    throw InputError(
        fmt::format("{}: its adapters were trained over another base model (fingerprint {}, here {}). Give "
                    "the base of their recipe.",
                    found.directory, content.header.base_fingerprint, base_fingerprint));
  }
  const std::optional<nlohmann::json> metrics = RunReader(run).metrics();
  if (!metrics) return;
  const std::int64_t ended = metrics->value("/training/steps"_json_pointer, found.step);
  if (found.step < ended) {
    throw InputError(
        fmt::format("{}: is the newest valid checkpoint, but training ended after step {}, so that no members can join "
                    "it. Remove {}/metrics.json and go on by --resume, which trains the lost steps again.",
                    found.directory, ended, run));
  }
}

JoinedMembers join_members(const Recipe& recipe, std::int64_t grows_from) {
  const std::string growth = growth_directory(recipe.output_directory);
  const FoundCheckpoint before = newest(recipe.output_directory);
  const FoundCheckpoint grown = newest(growth);
  const CheckpointContent old = read_members(before.files, 0, grows_from);
  const CheckpointContent added = read_members(grown.files, grows_from, recipe.ensemble.members - grows_from);
  std::vector<const StoredMember*> members;
  for (const StoredMember& member : old.members) members.push_back(&member);
  for (const StoredMember& member : added.members) members.push_back(&member);
  JoinedMembers joined;
  for (const StoredMember* member : members) joined.states.push_back(member_state(member->progress));
  // Under early stopping the two may have ended at different steps; together the later one is the end.
  const std::int64_t step = std::max(before.step, grown.step);
  write_whole_checkpoint(added.header, members, recipe, step, growth + "/joined");
  joined.checkpoint = verify_checkpoint(growth + "/joined/" + checkpoint_name(step));
  return joined;
}

void join(const RunFiles& files, const Recipe& recipe, const FoundCheckpoint& joined,
          const std::vector<Predictions>& predictions, const RunResult& result) {
  const std::string growth = growth_directory(recipe.output_directory);
  const std::string checkpoints = files.file("checkpoints");
  const std::string tensorboard = files.file("tensorboard");
  warn_of_lost_sets(files, result.metrics);
  adopt_checkpoint(joined.directory, checkpoints, joined.step);
  // Older ones have fewer members than the recipe will ask for.
  for (const std::string& warning : purge_checkpoints(checkpoints, 1)) spdlog::warn("{}", warning);
  files.remove_metrics();
  std::vector<nlohmann::json> lines = member_lines(files.file("log.jsonl"));
  const auto first = members_in(recipe.output_directory).value_or(0);
  std::erase_if(lines, [&](const nlohmann::json& line) { return line["member"].get<std::int64_t>() >= first; });
  for (nlohmann::json& line : member_lines(growth + "/log.jsonl")) lines.push_back(std::move(line));
  write_file_atomically(files.file("log.jsonl"), log_text(std::move(lines)));
  for (std::int64_t member = first; member < recipe.ensemble.members; ++member) {
    const auto number = static_cast<std::size_t>(member);
    move(EventLog::member_directory(growth + "/tensorboard", number), EventLog::member_directory(tensorboard, number));
  }
  remove_tree(tensorboard + "/ensemble");  // the curve of a smaller one
  static_cast<void>(files.begin(recipe, joined.step));
  EventLog(tensorboard, 0, recipe.ensemble.members, joined.step).write_result(joined.step, result.metrics["datasets"]);
  files.finish(recipe, predictions, result);
  clear_joined_growth(recipe.output_directory);
}

}  // namespace chorale
