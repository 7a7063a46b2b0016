// Checkpoints on disk: <checkpoints>/step_00000114/{group_000.h5,...,manifest.json} and <checkpoints>/LATEST.
//
// A checkpoint is committed in stages, so that a crash between any two of them leaves the ones before it valid:
//   begin_checkpoint    a temporary directory step_00000114.tmp
//   (the callers)       one synced file per group in it
//   write_manifest      every file's size and SHA-256, read back from the disk; syncs the temporary directory too
//   publish_checkpoint  rename to step_00000114, sync of the parent directory
//   point_latest        LATEST, a text file holding the directory's name, by rename
//   purge_checkpoints   older ones, and what dead runs left unfinished, go (checkpoint_upkeep.hpp)
// What has no valid manifest does not exist, and LATEST is only a sign for people and scripts: readers here look for
// the newest checkpoint whose manifest holds.
//
// One process writes (rank 0, and for a group's file the group's first rank), the one that holds the run's lock
// (run_lock.hpp). Anybody may read at any time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace chorale {

inline constexpr std::int64_t kManifestVersion = 1;
/// Behind the name of a checkpoint that is being replaced where two names cannot be exchanged at one stroke: valid
/// until the new one has the name.
inline constexpr const char* kReplacedSuffix = ".replaced";

/// step_00000114
[[nodiscard]] std::string checkpoint_name(std::int64_t step);
/// The step of such a name; nothing when it is no checkpoint's name.
[[nodiscard]] std::optional<std::int64_t> step_of_checkpoint(const std::string& name);
/// group_000.h5
[[nodiscard]] std::string group_file_name(std::int64_t group);

/// Makes `checkpoints` and, in it, an empty temporary directory for `step`, and returns the latter's path. What an
/// earlier run left unfinished under that name is removed. StorageError.
[[nodiscard]] std::string begin_checkpoint(const std::string& checkpoints, std::int64_t step);

/// Writes manifest.json over the files group_000.h5 to group_<groups - 1>.h5 of `directory`. StorageError, also when a
/// file is missing.
void write_manifest(const std::string& directory, std::int64_t step, std::int64_t groups);

/// Gives the finished temporary directory of `step` its final name. A directory already there is replaced, in one
/// exchange of the two names where the file system knows that. StorageError.
void publish_checkpoint(const std::string& checkpoints, std::int64_t step);

/// StorageError.
void point_latest(const std::string& checkpoints, std::int64_t step);

/// The last three stages: all groups' files are in the temporary directory of `step`.
void commit_checkpoint(const std::string& checkpoints, std::int64_t step, std::int64_t groups);

/// Takes the whole checkpoint `directory` of the same file system, manifest and all, to <checkpoints> as that of
/// `step`, in place of one that is there. StorageError.
void adopt_checkpoint(const std::string& directory, const std::string& checkpoints, std::int64_t step);

/// A checkpoint whose manifest has been checked.
struct FoundCheckpoint {
  std::string directory;
  std::int64_t step = 0;
  std::vector<std::string> files;  // paths of the groups' files, by group
};

/// Checks the manifest in `directory` and every file it lists; with `hashes` off only that the files are there with
/// their sizes. InputError naming the file that is missing, of another
/// size or with another SHA-256, or both versions when the manifest is newer than this program.
[[nodiscard]] FoundCheckpoint verify_checkpoint(const std::string& directory, bool hashes = true);

struct CheckpointSearch {
  std::optional<FoundCheckpoint> found;
  std::vector<std::string> problems;  // why newer checkpoints, or the one LATEST names, were passed over
  std::vector<std::string> damaged;   // the newer checkpoints' directories; set_aside() is for them
};

/// The checkpoint of the highest step that verifies. Nothing is found in a directory that does not exist. Whoever goes
/// on from an older one, or from none, should tell the user the problems.
[[nodiscard]] CheckpointSearch find_latest_valid(const std::string& checkpoints);

}  // namespace chorale
