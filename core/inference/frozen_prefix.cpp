#include "core/inference/frozen_prefix.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
#include <numeric>

#include "core/base/heartbeat.hpp"
#include "core/model/upload.hpp"

namespace chorale {
namespace {

constexpr std::size_t kRemembered = 4;

}  // namespace

FrozenPrefix::FrozenPrefix(const Decoder& decoder, const ExampleBatcher& batcher, std::int64_t end_layer,
                           const RowBudget& budget)
    : FrozenPrefix(decoder, batcher, end_layer, budget, {0, batcher.size()}) {}

FrozenPrefix::FrozenPrefix(const Decoder& decoder, const ExampleBatcher& batcher, std::int64_t end_layer,
                           const RowBudget& budget, IndexRange examples)
    : decoder_(decoder), batcher_(batcher), end_layer_(end_layer) {
  std::int64_t rows = 0;
  for (std::size_t example = examples.begin; example < examples.end; ++example) {
    rows += batcher.own_rows(example);
    const bool full = chunk_begin_.empty() || example - chunk_begin_.back() == kChunkExamples || rows > kChunkRows;
    if (full) {
      chunk_begin_.push_back(example);
      rows = batcher.own_rows(example);
    }
  }
  chunk_begin_.push_back(examples.end);
  skipped_rows_ = batcher.first_row(examples.begin) - batcher.common_rows();
  const std::uint64_t row_bytes = total_bytes() / static_cast<std::uint64_t>(std::max<std::int64_t>(1, held_rows()));
  while (end_layer > 0 && kept_chunks_ < chunks() &&
         static_cast<std::uint64_t>(chunk_first_row(kept_chunks_ + 1) - skipped_rows_) * row_bytes <= budget.bytes) {
    ++kept_chunks_;
  }
  // The common prefix is always kept: every batch needs it.
  const std::int64_t kept_rows =
      kept_chunks_ == 0 ? batcher.common_rows() : chunk_first_row(kept_chunks_) - skipped_rows_;
  kept_ = allocate_rows(kept_rows, decoder.config().hidden, decoder.residual_dtype(), decoder.device(), budget.place,
                        budget.directory);
  // Padding rows are copies of row 0, perhaps before it is computed; they must be numbers.
  if (kept_rows > 0) kept_.narrow(0, 0, 1).zero_();
  filled_.resize(kept_chunks_, false);
}

std::int64_t FrozenPrefix::held_rows() const {
  return chunk_first_row(chunks()) - skipped_rows_;
}

std::uint64_t FrozenPrefix::total_bytes() const {
  const std::uint64_t element = decoder_.residual_dtype() == at::kDouble ? 8 : 4;
  return static_cast<std::uint64_t>(held_rows()) * static_cast<std::uint64_t>(decoder_.config().hidden) * element;
}

std::uint64_t FrozenPrefix::kept_bytes() const {
  return static_cast<std::uint64_t>(kept_.numel()) * static_cast<std::uint64_t>(kept_.element_size());
}

std::int64_t FrozenPrefix::chunk_first_row(std::size_t chunk) const {
  return batcher_.first_row(chunk_begin_[chunk]);
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

at::Tensor FrozenPrefix::compute(std::size_t chunk) const {
  beat();
  const at::NoGradGuard no_gradients;
  std::vector<std::size_t> examples(chunk_begin_[chunk + 1] - chunk_begin_[chunk]);
  std::iota(examples.begin(), examples.end(), chunk_begin_[chunk]);
  ExampleBatch batch = batcher_.build({examples}, {.row_multiple = ExampleBatcher::kRowMultiple});
  const at::Tensor x = decoder_.embed(batch.packed.tokens);
  return decoder_.run_layers(x, decoder_.prepare(batch.packed), 0, end_layer_, nullptr);
}

at::Tensor FrozenPrefix::chunk_rows(std::size_t chunk) {
  const std::int64_t count = chunk_first_row(chunk + 1) - chunk_first_row(chunk);
  const std::int64_t position = chunk_first_row(chunk) - skipped_rows_;
  if (chunk < kept_chunks_ && filled_[chunk]) return kept_.narrow(0, position, count);
  for (const Remembered& recent : recent_) {
    if (recent.chunk == chunk) return recent.rows;
  }
  const std::int64_t common = batcher_.common_rows();
  const at::Tensor all = compute(chunk);
  // The common prefix is the first chunk's, whoever asks first.
  if (chunk == 0 && common > 0) {
    kept_.narrow(0, 0, common).copy_(all.narrow(0, 0, common));
    common_filled_ = true;
  }
  const at::Tensor own = all.narrow(0, common, count);
  if (chunk < kept_chunks_) {
    kept_.narrow(0, position, count).copy_(own);
    filled_[chunk] = true;
    return kept_.narrow(0, position, count);
  }
  recent_.push_front({chunk, own.clone()});
  if (recent_.size() > kRemembered) recent_.pop_back();
  return recent_.front().rows;
}

void FrozenPrefix::fill_common() {
  if (common_filled_ || batcher_.common_rows() == 0) return;
  static_cast<void>(chunk_rows(0));
}

void FrozenPrefix::fill() {
  for (std::size_t chunk = 0; chunk < kept_chunks_; ++chunk) static_cast<void>(chunk_rows(chunk));
}

std::vector<std::size_t> FrozenPrefix::chunks_not_kept(const std::vector<std::size_t>& examples) const {
  std::vector<std::size_t> chunks;
  for (const std::size_t example : examples) {
    const std::size_t chunk = chunk_of_row(batcher_.first_row(example));
    if (chunk >= kept_chunks_ || !filled_[chunk]) chunks.push_back(chunk);
  }
  std::sort(chunks.begin(), chunks.end());
  chunks.erase(std::unique(chunks.begin(), chunks.end()), chunks.end());
  return chunks;
}

void FrozenPrefix::share(const std::vector<std::size_t>& examples, Communicator& group) {
  if (group.size() == 1 || end_layer_ == 0) return;
  std::vector<std::size_t> missing = chunks_not_kept(examples);
  missing.erase(std::lower_bound(missing.begin(), missing.end(), kept_chunks_), missing.end());
  // The common prefix travels with the first chunk.
  if (kept_chunks_ > 0 && !filled_[0] && (missing.empty() || missing.front() != 0)) missing.insert(missing.begin(), 0);
  const auto ranks = static_cast<std::size_t>(group.size());
  for (std::size_t i = static_cast<std::size_t>(group.rank()); i < missing.size(); i += ranks) {
    static_cast<void>(chunk_rows(missing[i]));
  }
  for (std::size_t i = 0; i < missing.size(); ++i) {
    const std::size_t chunk = missing[i];
    const std::int64_t first = chunk == 0 ? 0 : chunk_first_row(chunk) - skipped_rows_;
    at::Tensor rows = kept_.narrow(0, first, chunk_first_row(chunk + 1) - skipped_rows_ - first);
    // Ranks talk about what is on their devices.
    at::Tensor moving = rows.to(decoder_.device());
    group.broadcast(moving, static_cast<std::int64_t>(i % ranks));
    if (!moving.is_same(rows)) rows.copy_(moving);
    filled_[chunk] = true;
    common_filled_ = common_filled_ || chunk == 0;
  }
}

// Rows of what is kept, on the decoder's device.
at::Tensor FrozenPrefix::kept_rows_of(const std::vector<std::int64_t>& sources) const {
  at::Tensor index;
  Upload upload(kept_.device());
  upload.add(index, sources);
  upload.send();
  if (kept_.device() == decoder_.device()) return kept_.index_select(0, index);
  at::Tensor rows = at::empty({index.size(0), kept_.size(1)}, kept_.options().pinned_memory(true));
  at::index_select_out(rows, kept_, 0, index);
  return rows.to(decoder_.device(), /*non_blocking=*/true);
}

at::Tensor FrozenPrefix::rows_of(const ExampleBatch& batch) {
  // Nothing lies below the lowest adapter but the embedding, which is its own cache.
  if (end_layer_ == 0) return decoder_.embed(batch.packed.tokens);
  fill_common();
  std::vector<at::Tensor> passing;  // chunks beyond the budget that this batch looks into
  std::vector<std::size_t> passing_chunks;
  for (const std::size_t chunk : chunks_not_kept(batch.scoring.example_index)) {
    const at::Tensor rows = chunk_rows(chunk);
    if (chunk < kept_chunks_) continue;
    passing.push_back(rows);
    passing_chunks.push_back(chunk);
  }
  // From the set's numbering of rows to positions in what is held.
  std::vector<std::int64_t> sources = batch.source_rows;
  if (skipped_rows_ > 0) {
    // Padding rows name row 0, whatever it is.
    const std::int64_t common = batcher_.common_rows();
    for (std::int64_t& source : sources) source = source < common ? source : std::max(common, source - skipped_rows_);
  }
  if (passing.empty()) return kept_rows_of(sources);
  // Copied in runs of consecutive rows: mostly whole examples.
  at::Tensor x = at::empty({batch.packed.rows(), decoder_.config().hidden}, kept_.options().device(decoder_.device()));
  const auto rows = static_cast<std::int64_t>(sources.size());
  for (std::int64_t row = 0; row < rows;) {
    const std::int64_t source = sources[static_cast<std::size_t>(row)];
    at::Tensor from = kept_;
    std::int64_t first = 0;
    if (source >= kept_.size(0)) {
      const std::size_t chunk = chunk_of_row(source + skipped_rows_);
      const auto found = std::lower_bound(passing_chunks.begin(), passing_chunks.end(), chunk) - passing_chunks.begin();
      from = passing[static_cast<std::size_t>(found)];
      first = chunk_first_row(chunk) - skipped_rows_;
    }
    std::int64_t count = 1;
    while (row + count < rows && source - first + count < from.size(0) &&
           sources[static_cast<std::size_t>(row + count)] == source + count) {
      ++count;
    }
    x.narrow(0, row, count).copy_(from.narrow(0, source - first, count));
    row += count;
  }
  return x;
}

}  // namespace chorale
