// All members of an ensemble as one checkpoint, whatever files they come from.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/storage/checkpoint_file.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale {

/// Members `first` to `first` + `count` - 1 from a checkpoint's files, ascending, with the last file's header.
/// InputError when a file is damaged or when not each of them is there exactly once.
[[nodiscard]] CheckpointContent read_members(const std::vector<std::string>& files, std::int64_t first,
                                             std::int64_t count);

/// Commits <checkpoints>/step_<step> with all of `members`, numbered from 0 in their order, in one file, as the
/// recipe's run on one rank would have it. `header`: of one of those they come from. StorageError.
void write_whole_checkpoint(CheckpointHeader header, const std::vector<const StoredMember*>& members,
                            const Recipe& recipe, std::int64_t step, const std::string& checkpoints);

}  // namespace chorale
