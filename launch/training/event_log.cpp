#include "launch/training/event_log.hpp"

#include <fmt/format.h>

#include <array>
#include <limits>
#include <span>

namespace chorale {
namespace {

constexpr const char* kResult = ".result";  // ends the names of files that hold the final metrics

constexpr std::array<const char*, 5> kTraining = {"loss", "kl_to_base", "learning_rate", "gradient_norm",
                                                  "tokens_per_second"};
constexpr std::array<const char*, 5> kMetrics = {"nll", "accuracy", "ece", "brier", "perplexity"};
constexpr std::array<const char*, 3> kUncertainty = {"total", "aleatoric", "epistemic"};

// The numbers under `keys`; null, which stands for what is not finite, as not-a-number: TensorBoard marks it.
void append(std::vector<EventScalar>& scalars, const std::string& group, const nlohmann::json& values,
            std::span<const char* const> keys) {
  for (const char* key : keys) {
    const auto found = values.find(key);
    if (found == values.end()) continue;
    scalars.push_back(
        {group + "/" + key, found->is_number() ? found->get<double>() : std::numeric_limits<double>::quiet_NaN()});
  }
}

}  // namespace

EventLog::EventLog(std::string directory, std::int64_t first_member, std::int64_t members, std::int64_t steps_done)
    : directory_(std::move(directory)),
      first_(static_cast<std::size_t>(first_member)),
      ensemble_(directory_ + "/ensemble", steps_done + 1) {
  EventFile::remove(directory_ + "/ensemble", kResult);
  for (std::size_t member = first_; member < first_ + static_cast<std::size_t>(members); ++member) {
    EventFile::remove(member_directory(directory_, member), kResult);
    members_.emplace_back(member_directory(directory_, member), steps_done + 1);
  }
}

std::string EventLog::member_directory(const std::string& directory, std::size_t member) {
  return fmt::format("{}/member_{:03}", directory, member);
}

void EventLog::write(const nlohmann::json& line, double wall_time) {
  const auto step = line["step"].get<std::int64_t>();
  std::vector<EventScalar> scalars;
  if (const auto validation = line.find("validation"); validation != line.end()) {
    append(scalars, "validation", *validation, kMetrics);
  } else {
    append(scalars, "train", line, kTraining);
  }
  members_.at(line["member"].get<std::size_t>() - first_).write(wall_time, step, scalars);
  const auto pooled = line.find("pooled_validation");
  if (pooled == line.end() || step == pooled_step_) return;  // all members' lines of a step carry the same
  scalars.clear();
  append(scalars, "validation", *pooled, kMetrics);
  ensemble_.write(wall_time, step, scalars);
  pooled_step_ = step;
}

void EventLog::sync() {
  for (EventFile& member : members_) member.sync();
  ensemble_.sync();
}

void EventLog::write_result(std::int64_t step, const nlohmann::json& datasets) const {
  std::vector<std::vector<EventScalar>> members(members_.size());
  std::vector<EventScalar> ensemble;
  for (const auto& [name, dataset] : datasets.items()) {
    if (name == "validation") continue;  // its curve is there already
    for (std::size_t m = 0; m < members.size() && dataset.contains("members"); ++m) {
      append(members[m], name, dataset["members"]["each"][first_ + m], kMetrics);
    }
    if (dataset.contains("ensemble")) append(ensemble, name, dataset["ensemble"], kMetrics);
    if (dataset.contains("uncertainty")) append(ensemble, name + "/uncertainty", dataset["uncertainty"], kUncertainty);
  }
  const double now = wall_seconds();
  const auto put = [&](const std::string& directory, const std::vector<EventScalar>& scalars) {
    if (scalars.empty()) return;
    EventFile file(directory, -1, kResult);
    file.write(now, step, scalars);
    file.sync();
  };
  for (std::size_t m = 0; m < members.size(); ++m) put(member_directory(directory_, first_ + m), members[m]);
  put(directory_ + "/ensemble", ensemble);
}

}  // namespace chorale
