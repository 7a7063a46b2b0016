// What is done with checkpoints besides committing and reading them: room for a new one, and an end for old ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace chorale {

/// StorageError, with the bytes needed and free, when the file system of `directory` (or of the nearest directory above
/// it that exists) has less room than twice `bytes`: a checkpoint is complete before the one it replaces may go. Passes
/// where the file system does not say.
void check_free_space(const std::string& directory, std::uint64_t bytes);

/// Deletes the checkpoints older than the newest `keep` (>= 1) finished ones, and what interrupted saves have left
/// (*.tmp, and *.replaced beside its replacement). Finished means a manifest whose files have their sizes; whatever is
/// not finished under a checkpoint's name is neither counted nor touched. Deleting is a rename to a .tmp name, then the
/// removal, so that a crash never leaves half a checkpoint under its name. Whoever calls this holds the run's lock and
/// is not between begin_checkpoint and publish_checkpoint: it would take its own unfinished work for a dead run's.
/// Returns warnings for what could not be deleted, which spoils nothing; the next purge tries again.
[[nodiscard]] std::vector<std::string> purge_checkpoints(const std::string& checkpoints, std::int64_t keep);

/// Renames a damaged checkpoint to NAME.damaged (or .damaged.2 and so on), where no search counts it and no purge
/// touches it, and returns the new path. StorageError. The caller holds the run's lock.
std::string set_aside(const std::string& directory);

}  // namespace chorale
