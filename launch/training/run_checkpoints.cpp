#include "launch/training/run_checkpoints.hpp"

#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "core/storage/checkpoint_directory.hpp"
#include "core/storage/checkpoint_upkeep.hpp"

namespace chorale {

ResumePoint find_resume_point(const RunWorld& run, const std::string& checkpoints) {
  nlohmann::json told;
  run.world().on_root([&] {
    const CheckpointSearch search = find_latest_valid(checkpoints);
    for (const std::string& problem : search.problems) spdlog::warn("checkpoint passed over: {}", problem);
    for (const std::string& directory : search.damaged) {
      spdlog::warn("{} is kept as {}", directory, set_aside(directory));
    }
    // A run that was killed between the two may have committed a checkpoint without saying so.
    if (search.found) point_latest(checkpoints, search.found->step);
    if (search.found) told = {{"step", search.found->step}, {"files", search.found->files}};
  });
  // The others read the files whose names they are told: a listing of their own may be older on a network file system.
  told = nlohmann::json::parse(run.world().broadcast(told.dump()));
  ResumePoint point;
  if (told.is_null()) return point;
  point.step = told["step"].get<std::int64_t>();
  point.files = told["files"].get<std::vector<std::string>>();
  return point;
}

RunCheckpoints::RunCheckpoints(const RunWorld& run, std::string directory, CheckpointLabels labels,
                               BaseFingerprint& fingerprint, CheckpointConfig config, RunLog& log)
    : run_(run),
      directory_(std::move(directory)),
      labels_(std::move(labels)),
      fingerprint_(fingerprint),
      config_(config),
      log_(log) {}

bool RunCheckpoints::is_due(std::int64_t step, bool time_is_over) const {
  return step > last_ && (time_is_over || step % config_.every_steps == 0);
}

std::optional<double> RunCheckpoints::every_seconds() const {
  return config_.every_minutes ? std::optional(*config_.every_minutes * 60.0) : std::nullopt;
}

void RunCheckpoints::save_periodically(const AdapterBank& bank, Trainer& trainer) {
  try {
    save(bank, trainer);
  } catch (const Error& error) {  // on all ranks alike
    if (error.code() != ExitCode::storage || config_.on_failure == OnFailure::stop) throw;
    if (!run_.is_root()) return;
    spdlog::warn("no checkpoint after step {}: {} Training goes on (checkpoint.on_failure) and tries the next one.",
                 trainer.steps_done(), error.what());
    purge();  // what is half written takes room that the next one may need
  }
}

void RunCheckpoints::save(const AdapterBank& bank, Trainer& trainer) {
  const std::int64_t step = trainer.steps_done();
  trainer.settle();
  trainer.interval().collect();
  log_.exchange(step);
  labels_.base_fingerprint = fingerprint_.get();
  std::optional<GroupCheckpoint> part;
  std::uint64_t bytes = 0;
  if (run_.leads_group()) {
    part.emplace(labels_, bank, trainer);
    bytes = part->bytes();
  }
  // Groups differ by at most a member or two, so the root's own size times their number tells what is needed.
  std::string unfinished;
  run_.world().on_root([&] {
    log_.sync();
    check_free_space(directory_, bytes * run_.placement().groups.size());
    unfinished = begin_checkpoint(directory_, step);
  });
  unfinished = run_.world().broadcast(unfinished);
  run_.world().together([&] {
    if (part) part->write(unfinished + "/" + group_file_name(run_.group_number()));
  });
  run_.world().on_root([&] {
    commit_checkpoint(directory_, step, static_cast<std::int64_t>(run_.placement().groups.size()));
    purge();
  });
  last_ = step;
}

void RunCheckpoints::goes_on_from(std::int64_t step) {
  last_ = step;
  if (run_.is_root()) purge();
}

void RunCheckpoints::purge() const {
  for (const std::string& warning : purge_checkpoints(directory_, config_.keep)) spdlog::warn("{}", warning);
}

}  // namespace chorale
