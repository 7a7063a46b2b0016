// Between a bank in training and the files of a checkpoint.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/adapters/adapter_bank.hpp"
#include "core/storage/checkpoint_file.hpp"
#include "core/training/trainer.hpp"

namespace chorale {

/// What a checkpoint says about the run besides its numbers.
struct CheckpointLabels {
  std::string recipe;            // resolved YAML
  std::string placement;         // JSON: the groups of ranks and the members each held
  std::string base_fingerprint;  // BaseFiles::fingerprint
};

/// The factors of a member in the order of the bank's flat buffers.
[[nodiscard]] std::vector<CheckpointFactor> checkpoint_factors(const AdapterBank& bank);

/// Everything one group's file of a checkpoint holds, copied to host memory: the bank's adapters as they are (after
/// Trainer::run() the best ones under early stopping, with those that training would go on from beside them), the
/// optimiser's moments and the members' progress. The trainer must have settled and its interval() been collected.
class GroupCheckpoint {
 public:
  GroupCheckpoint(const CheckpointLabels& labels, const AdapterBank& bank, Trainer& trainer);

  /// About the bytes write() puts on disk, never less.
  [[nodiscard]] std::uint64_t bytes() const;
  /// One rank of the group writes. StorageError.
  void write(const std::string& path) const;

 private:
  CheckpointHeader header_;
  std::vector<at::Tensor> buffers_;  // what members_ looks into
  std::vector<MemberToStore> members_;
};

/// Puts the stored adapters of the bank's members into its parameters, from the checkpoint of `files` (its groups'
/// files, by group), whatever groups the members were in then. Of a member that has stopped early these are its best.
/// InputError when a file is damaged, was made over another base, with other modules, rank or scale, or when no file
/// holds a member; the bank is then as it was.
void load_adapters(std::span<const std::string> files, const std::string& base_fingerprint, AdapterBank& bank);

/// Puts a training back to where the checkpoint of `files` (its groups' files, by group) was written, whatever groups
/// the members were in then: adapters, moments, stopping, sums of the log, steps done. Every rank of a group reads for
/// itself. InputError as load_adapters, and when a file is damaged.
void restore_training(std::span<const std::string> files, const std::string& base_fingerprint, AdapterBank& bank,
                      Trainer& trainer);

}  // namespace chorale
