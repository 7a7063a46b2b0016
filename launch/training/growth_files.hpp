// RUN/growth: members on their way into a finished run, and how they come to be part of it.
//
//   RUN/growth/recipe.yaml, checkpoints/, log.jsonl, tensorboard/   the training of the new members, as in any run
//   RUN/growth/joined/step_00000114/                                all members, once those have been trained
//
// Until the join, the run is the finished one it was. The join replaces its checkpoint (which serves the smaller
// ensemble as well), log and recipe and then the results; one that is cut short anywhere is done again, or, once the
// recipe has all members, is finished as any run is that lacks its evaluation. Rank 0 does all of this.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "core/storage/checkpoint_directory.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/training/run_files.hpp"

namespace chorale {

/// RUN/growth
[[nodiscard]] std::string growth_directory(const std::string& run);

/// What is to be done next for a run with `members` members: all of it at once, or, with `grows_from` above 0, the
/// training of those from that number on.
struct GrowthStage {
  std::int64_t members = 0;
  std::int64_t grows_from = 0;
};

/// The next stage of `--resume` with `recipe`. A run that has fewer members and is not finished is finished first, and
/// a growth that has begun comes before a larger one. UsageError when the recipe changes what must stay as it was, or
/// asks for fewer members than are on their way.
[[nodiscard]] GrowthStage next_stage(const Recipe& recipe);

/// `recipe` for its first `members` members alone.
[[nodiscard]] Recipe with_members(Recipe recipe, std::int64_t members);

/// "is on its way from 5 to 8 members; ...": what to say of a run that grows; empty when it does not.
[[nodiscard]] std::string growth_note(const std::string& run);

/// Removes what a finished join has left of RUN/growth. The caller holds the run's lock. StorageError.
void clear_joined_growth(const std::string& run);

/// Refuses (InputError) to add members to a run whose own adapters are damaged or were trained over another base.
void check_can_grow(const std::string& run, std::int64_t members, const std::string& base_fingerprint);

/// All members of an ensemble whose training has ended.
struct JoinedMembers {
  FoundCheckpoint checkpoint;
  nlohmann::json states;  // member_states()
};

/// Writes RUN/growth/joined from the run's newest checkpoint (members below `grows_from`) and the growth's. InputError,
/// StorageError.
[[nodiscard]] JoinedMembers join_members(const Recipe& recipe, std::int64_t grows_from);

/// Makes the run one of all members: checkpoint, log, curves, recipe, then the results. Removes RUN/growth.
/// StorageError.
void join(const RunFiles& files, const Recipe& recipe, const FoundCheckpoint& joined,
          const std::vector<Predictions>& predictions, const RunResult& result);

}  // namespace chorale
