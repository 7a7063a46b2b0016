// The layers below the lowest adapter: run once for all members, kept across epochs.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <vector>

#include "core/ensemble/prediction_share.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/inference/row_memory.hpp"
#include "core/model/decoder.hpp"
#include "core/parallel/communicator.hpp"

namespace chorale {

/// Hidden states of a set's examples, or of a consecutive part of them, at the input of layer `end_layer`.
///
/// They are always computed in the same chunks of consecutive examples, so a value is the same bits whether it was kept
/// or is computed again: the budget changes time, never results. Chunks are kept in data-set order until the budget is
/// spent; the others are computed when asked for, the last few remembered.
class FrozenPrefix {
 public:
  static constexpr std::size_t kChunkExamples = 16;
  static constexpr std::int64_t kChunkRows = 2048;

  /// `batcher` and `decoder` must outlive this. budget: 0 bytes keep nothing. `examples`: the ones this holds.
  FrozenPrefix(const Decoder& decoder, const ExampleBatcher& batcher, std::int64_t end_layer, const RowBudget& budget,
               IndexRange examples);
  /// The whole set.
  FrozenPrefix(const Decoder& decoder, const ExampleBatcher& batcher, std::int64_t end_layer, const RowBudget& budget);

  /// Has every chunk that is to be kept and that one of `examples` lies in, each computed by one rank of `group` and
  /// handed to the others. Collective: all ranks give the same examples. With one rank nothing happens, rows_of()
  /// computes what it needs.
  void share(const std::vector<std::size_t>& examples, Communicator& group);
  /// Computes every chunk that is to be kept now instead of when first asked for.
  void fill();

  /// Input of layer end_layer for every row of `batch`: [rows, hidden], residual type, without gradients.
  [[nodiscard]] at::Tensor rows_of(const ExampleBatch& batch);

  [[nodiscard]] std::int64_t end_layer() const { return end_layer_; }
  /// Chunks that fit the budget, and all of them.
  [[nodiscard]] std::size_t kept_chunks() const { return kept_chunks_; }
  [[nodiscard]] std::size_t chunks() const { return chunk_begin_.size() - 1; }
  /// Bytes all that this holds would take.
  [[nodiscard]] std::uint64_t total_bytes() const;
  /// Bytes set aside for kept chunks.
  [[nodiscard]] std::uint64_t kept_bytes() const;

 private:
  struct Remembered {
    std::size_t chunk = 0;
    at::Tensor rows;
  };
  [[nodiscard]] at::Tensor compute(std::size_t chunk) const;
  void fill_common();
  [[nodiscard]] std::vector<std::size_t> chunks_not_kept(const std::vector<std::size_t>& examples) const;
  [[nodiscard]] at::Tensor chunk_rows(std::size_t chunk);
  [[nodiscard]] std::size_t chunk_of_row(std::int64_t row) const;
  [[nodiscard]] std::int64_t chunk_first_row(std::size_t chunk) const;
  [[nodiscard]] std::int64_t held_rows() const;
  [[nodiscard]] at::Tensor kept_rows_of(const std::vector<std::int64_t>& sources) const;

  const Decoder& decoder_;
  const ExampleBatcher& batcher_;
  std::int64_t end_layer_;
  std::vector<std::size_t> chunk_begin_;  // [chunks + 1] examples
  std::int64_t skipped_rows_ = 0;         // of the set, between the common prefix and the first example held
  std::size_t kept_chunks_ = 0;
  at::Tensor kept_;           // [common rows + rows of the kept chunks, hidden], where the budget says
  std::vector<bool> filled_;  // [kept chunks]
  bool common_filled_ = false;
  std::deque<Remembered> recent_;
};

}  // namespace chorale
