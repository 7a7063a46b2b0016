// Between a bank in training and the files of a checkpoint.
#pragma once

#include <string>

#include "core/adapters/adapter_bank.hpp"
#include "core/storage/checkpoint_file.hpp"
#include "core/training/trainer.hpp"

namespace chorale {

/// What a checkpoint says about the run besides its numbers.
struct CheckpointLabels {
  std::string recipe;            // resolved YAML
  std::string placement;         // members and ranks of the group, for people
  std::string base_fingerprint;  // BaseFiles::fingerprint
};

/// The factors of a member in the order of the bank's flat buffers.
[[nodiscard]] std::vector<CheckpointFactor> checkpoint_factors(const AdapterBank& bank);

/// Writes this group's file of a checkpoint: the bank's adapters as they are (after Trainer::run() the best ones under
/// early stopping), the optimiser's moments and the members' progress. Collective over nobody: one rank of the group
/// writes. StorageError.
void write_group_checkpoint(const std::string& path, const CheckpointLabels& labels, const AdapterBank& bank,
                            Trainer& trainer);

/// Commits <checkpoints>/step_<steps done>/ for a run of one group, and LATEST. StorageError.
void save_checkpoint(const std::string& checkpoints, const CheckpointLabels& labels, const AdapterBank& bank,
                     Trainer& trainer);

/// Puts the stored adapters of the bank's members into its parameters. `path` stands in messages. InputError when the
/// file was made over another base, with other modules, rank or scale, or lacks one of the members; the bank is then
/// as it was.
void load_adapters(const CheckpointContent& content, const std::string& path, const std::string& base_fingerprint,
                   AdapterBank& bank);

}  // namespace chorale
