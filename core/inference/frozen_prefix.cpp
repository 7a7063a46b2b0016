#include "core/inference/frozen_prefix.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <numeric>

namespace chorale {
namespace {

constexpr std::size_t kRemembered = 4;

}  // namespace

FrozenPrefix::FrozenPrefix(const Decoder& decoder, const ExampleBatcher& batcher, std::int64_t end_layer,
                           std::uint64_t budget_bytes)
    : decoder_(decoder), batcher_(batcher), end_layer_(end_layer) {
  std::int64_t rows = 0;
  for (std::size_t example = 0; example < batcher.size(); ++example) {
    rows += batcher.own_rows(example);
    const bool full = chunk_begin_.empty() || example - chunk_begin_.back() == kChunkExamples || rows > kChunkRows;
    if (full) {
      chunk_begin_.push_back(example);
      rows = batcher.own_rows(example);
    }
  }
  chunk_begin_.push_back(batcher.size());
  const std::uint64_t row_bytes = total_bytes() / static_cast<std::uint64_t>(batcher.row_count());
  while (end_layer > 0 && kept_chunks_ < chunks() &&
         static_cast<std::uint64_t>(chunk_first_row(kept_chunks_ + 1)) * row_bytes <= budget_bytes) {
    ++kept_chunks_;
  }
  // The common prefix is always kept: every batch needs it.
  const std::int64_t kept_rows = kept_chunks_ == 0 ? batcher.common_rows() : chunk_first_row(kept_chunks_);
  kept_ = at::empty({kept_rows, decoder.config().hidden},
                    at::TensorOptions().dtype(decoder.residual_dtype()).device(decoder.device()));
  filled_.resize(kept_chunks_, false);
}

std::uint64_t FrozenPrefix::total_bytes() const {
  const std::uint64_t element = decoder_.residual_dtype() == at::kDouble ? 8 : 4;
  return static_cast<std::uint64_t>(batcher_.row_count()) * static_cast<std::uint64_t>(decoder_.config().hidden) *
         element;
}

std::uint64_t FrozenPrefix::kept_bytes() const {
  return static_cast<std::uint64_t>(kept_.numel()) * static_cast<std::uint64_t>(kept_.element_size());
}

std::int64_t FrozenPrefix::chunk_first_row(std::size_t chunk) const {
  return chunk == chunks() ? batcher_.row_count() : batcher_.first_row(chunk_begin_[chunk]);
}

std::size_t FrozenPrefix::chunk_of_row(std::int64_t row) const {
  std::size_t low = 0;
  std::size_t high = chunks();
  while (high - low > 1) {
    const std::size_t middle = (low + high) / 2;
    (row >= chunk_first_row(middle) ? low : high) = middle;
  }
  return low;
}

at::Tensor FrozenPrefix::compute(const std::vector<std::size_t>& examples) const {
  const at::NoGradGuard no_gradients;
  ExampleBatch batch = batcher_.build({examples}, 0, ExampleBatcher::kRowMultiple);
  const at::Tensor x = decoder_.embed(batch.packed.tokens);
  return decoder_.run_layers(x, decoder_.prepare(batch.packed), 0, end_layer_, nullptr);
}

at::Tensor FrozenPrefix::chunk_rows(std::size_t chunk) {
  const std::int64_t first = chunk_first_row(chunk);
  const std::int64_t count = chunk_first_row(chunk + 1) - first;
  if (chunk < kept_chunks_ && filled_[chunk]) return kept_.narrow(0, first, count);
  for (const Remembered& recent : recent_) {
    if (recent.chunk == chunk) return recent.rows;
  }
  std::vector<std::size_t> examples(chunk_begin_[chunk + 1] - chunk_begin_[chunk]);
  std::iota(examples.begin(), examples.end(), chunk_begin_[chunk]);
  const at::Tensor all = compute(examples);
  const at::Tensor own = all.narrow(0, batcher_.common_rows(), count);
  if (chunk < kept_chunks_) {
    kept_.narrow(0, first, count).copy_(own);
    filled_[chunk] = true;
    return kept_.narrow(0, first, count);
  }
  recent_.push_front({chunk, own.clone()});
  if (recent_.size() > kRemembered) recent_.pop_back();
  return recent_.front().rows;
}

void FrozenPrefix::fill() {
  for (std::size_t chunk = 0; chunk < kept_chunks_; ++chunk) static_cast<void>(chunk_rows(chunk));
}

at::Tensor FrozenPrefix::rows_of(const ExampleBatch& batch) {
  // Nothing lies below the lowest adapter but the embedding, which is its own cache.
  if (end_layer_ == 0) return decoder_.embed(batch.packed.tokens);
  const std::int64_t common = batcher_.common_rows();
  if (common > 0 && !common_filled_) {
    // The common prefix comes from the first chunk, whoever asks first.
    std::vector<std::size_t> examples(chunk_begin_[1]);
    std::iota(examples.begin(), examples.end(), std::size_t{0});
    kept_.narrow(0, 0, common).copy_(compute(examples).narrow(0, 0, common));
    common_filled_ = true;
  }
  std::vector<std::size_t> needed;
  for (const std::size_t example : batch.scoring.example_index) {
    const std::size_t chunk = chunk_of_row(batcher_.first_row(example));
    if (chunk >= kept_chunks_ || !filled_[chunk]) needed.push_back(chunk);
  }
  std::sort(needed.begin(), needed.end());
  needed.erase(std::unique(needed.begin(), needed.end()), needed.end());
  std::vector<at::Tensor> passing;  // chunks beyond the budget that this batch looks into
  std::vector<std::size_t> passing_chunks;
  for (const std::size_t chunk : needed) {
    const at::Tensor rows = chunk_rows(chunk);
    if (chunk < kept_chunks_) continue;
    passing.push_back(rows);
    passing_chunks.push_back(chunk);
  }
  if (passing.empty()) {
    return kept_.index_select(0, at::tensor(batch.source_rows, at::kLong).to(decoder_.device()));
  }
  // Copied in runs of consecutive rows: mostly whole examples.
  at::Tensor x = at::empty({batch.packed.rows(), decoder_.config().hidden}, kept_.options());
  const auto rows = static_cast<std::int64_t>(batch.source_rows.size());
  for (std::int64_t row = 0; row < rows;) {
    const std::int64_t source = batch.source_rows[static_cast<std::size_t>(row)];
    at::Tensor from = kept_;
    std::int64_t first = 0;
    if (source >= kept_.size(0)) {
      const std::size_t chunk = chunk_of_row(source);
      const auto found = std::lower_bound(passing_chunks.begin(), passing_chunks.end(), chunk) - passing_chunks.begin();
      from = passing[static_cast<std::size_t>(found)];
      first = chunk_first_row(chunk);
    }
    std::int64_t count = 1;
    while (row + count < rows && source - first + count < from.size(0) &&
           batch.source_rows[static_cast<std::size_t>(row + count)] == source + count) {
      ++count;
    }
    x.narrow(0, row, count).copy_(from.narrow(0, source - first, count));
    row += count;
  }
  return x;
}

}  // namespace chorale
