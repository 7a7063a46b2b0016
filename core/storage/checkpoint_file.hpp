// One group's part of a checkpoint: adapters, optimiser moments and progress of the members it holds.
//
//   root attributes   format = "chorale-checkpoint", format_version = 1, created_by, recipe (resolved YAML),
//                     placement (JSON: who held what), base_fingerprint, step
//   /members/000/adapter/<module path>/A    [rank, in] float32, B [out, rank]; attribute `scale` on adapter
//   /members/000/optimizer/first_moment     [parameters] float32, second_moment likewise: flat, the factors back to
//                                           back in the order of the attribute `order` ("<module path>/A", ...)
//   /members/000/optimizer/best             the same kind of buffer, where early stopping has a best that is not the
//                                           stored adapter; continued: the parameters training goes on from, where the
//                                           stored adapter is the best
//   /members/000/progress                   attributes: updates, training, diverged, stopped_at, best_step,
//                                           best_value, since_best, tokens, interval_{steps,tokens,loss,divergence,
//                                           gradient_norm,learning_rate}
//
// A root attribute validation_pending = 1 is there when the validation behind `step` was not made before the run was
// stopped. tokens, interval_*, best and continued may be missing: files of earlier programs have none of them.
//
// Members are named by their number in the ensemble. Every group and data set carries `meaning`; chunks carry
// Fletcher-32 checksums, and the whole file a SHA-256 behind its end (file_seal.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace chorale {

inline constexpr const char* kCheckpointFormat = "chorale-checkpoint";
inline constexpr std::int64_t kCheckpointVersion = 1;

/// One factor of one adapted linear. A member's flat buffers hold its factors back to back.
struct CheckpointFactor {
  std::string module;  // e.g. model.layers.20.self_attn.q_proj
  char factor = 'A';   // A [rank, in] or B [out, rank], row-major
  std::size_t rows = 0;
  std::size_t columns = 0;

  bool operator==(const CheckpointFactor&) const = default;
};

/// What all members of the file share.
struct CheckpointHeader {
  std::string recipe;                     // resolved YAML
  std::string placement;                  // JSON: the groups of ranks and the members each held
  std::string base_fingerprint;           // SHA-256 over the base's tensors
  std::int64_t step = 0;                  // optimiser steps done
  bool validation_pending = false;        // the validation behind `step` is still to be made
  double scale = 0.0;                     // an adapted linear gives W x + scale * B (A x)
  std::vector<CheckpointFactor> factors;  // in the order of the flat buffers

  /// Length of a member's flat buffers.
  [[nodiscard]] std::size_t parameters() const;
};

/// Where one member stands; step numbers are -1 where there is none.
struct MemberProgress {
  /// Sums since the last line of the log, so that the log of a resumed run goes on as if nothing had happened.
  struct Interval {
    std::int64_t steps = 0;
    double loss = 0.0;
    double divergence = 0.0;
    double gradient_norm = 0.0;
    std::int64_t tokens = 0;
    double learning_rate = 0.0;  // of the last of these steps

    bool operator==(const Interval&) const = default;
  };

  std::int64_t updates = 0;  // optimiser steps this member took part in
  bool training = true;
  bool diverged = false;
  std::int64_t stopped_at = -1;
  std::int64_t best_step = -1;
  double best_value = 0.0;      // of the stopping metric, smaller is better (an accuracy is stored negated)
  std::int64_t since_best = 0;  // validations
  std::int64_t tokens = 0;      // trained on so far
  Interval interval;

  bool operator==(const MemberProgress&) const = default;
};

/// A member as it is written: views into the caller's flat buffers, header.parameters() long; the last two may be
/// empty.
struct MemberToStore {
  std::uint32_t member = 0;
  std::span<const float> parameters;
  std::span<const float> first_moment;
  std::span<const float> second_moment;
  MemberProgress progress;
  std::span<const float> best = {};       // adapters of its best validation, where they are not `parameters`
  std::span<const float> continued = {};  // what training goes on from, where that is not `parameters`
};

/// A member as it is read; `best` and `continued` are empty where the file has none.
struct StoredMember {
  std::uint32_t member = 0;
  std::vector<float> parameters;
  std::vector<float> first_moment;
  std::vector<float> second_moment;
  MemberProgress progress;
  std::vector<float> best;
  std::vector<float> continued;
};

struct CheckpointContent {
  CheckpointHeader header;
  std::vector<StoredMember> members;  // ascending
};

/// About how large write_checkpoint_file() will make its file; never less.
[[nodiscard]] std::uint64_t estimate_checkpoint_bytes(const CheckpointHeader& header,
                                                      std::span<const MemberToStore> members);

/// Writes `path` atomically. StorageError when the disk refuses.
void write_checkpoint_file(const std::string& path, const CheckpointHeader& header,
                           std::span<const MemberToStore> members);

/// Reads and checks a whole file. InputError naming file and object when it is foreign, damaged, cut short, newer than
/// this program (both versions are named), or when its parts do not fit together: factors without their partner, ranks
/// or shapes that differ, members that are not alike, progress that cannot be.
[[nodiscard]] CheckpointContent read_checkpoint_file(const std::string& path);

/// The same, but the result holds only those of `wanted` that are in the file, maybe none; of the others shapes and
/// progress are checked and no numbers are read.
[[nodiscard]] CheckpointContent read_checkpoint_file(const std::string& path, std::span<const std::uint32_t> wanted);

}  // namespace chorale
