#include "core/inference/predictor.hpp"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <numeric>

#include "core/adapters/merged_hook.hpp"
#include "core/base/errors.hpp"
#include "core/base/interruption.hpp"

namespace chorale {
namespace {

// Examples [begin, end) for each of `members` streams.
std::vector<std::vector<std::size_t>> same_for_all(std::size_t members, std::size_t begin, std::size_t end) {
  std::vector<std::size_t> examples(end - begin);
  std::iota(examples.begin(), examples.end(), begin);
  return std::vector<std::vector<std::size_t>>(members, examples);
}

constexpr std::size_t kBatchesAhead = 8;

// First cell of every example, and one past the last.
std::vector<std::size_t> cell_offsets(const ExampleBatcher& batcher) {
  const bool by_token = batcher.kind() == TaskKind::completion;
  std::vector<std::size_t> offsets = {0};
  for (const Example& example : batcher.set().examples) {
    offsets.push_back(offsets.back() + (by_token ? example.continuations.front().size() : 1));
  }
  return offsets;
}

}  // namespace

CellShape cell_shape(const ExampleBatcher& batcher) {
  const bool by_token = batcher.kind() == TaskKind::completion;
  return {cell_offsets(batcher).back(), by_token ? 1 : static_cast<std::size_t>(batcher.choices())};
}

Predictions choice_predictions(const ExampleBatcher& batcher, std::size_t members,
                               std::vector<float> log_probabilities) {
  Predictions result;
  result.name = batcher.set().name;
  result.members = members;
  result.examples = batcher.size();
  result.choices = static_cast<std::size_t>(batcher.choices());
  result.log_probabilities = std::move(log_probabilities);
  for (const Example& example : batcher.set().examples) {
    result.labels.push_back(example.label);
    result.example_ids.push_back(example.id);
  }
  return result;
}

TokenPredictions token_predictions(const ExampleBatcher& batcher, std::size_t members,
                                   std::vector<float> log_likelihoods) {
  TokenPredictions result;
  result.name = batcher.set().name;
  result.members = members;
  result.log_likelihoods = std::move(log_likelihoods);
  result.example_offsets = cell_offsets(batcher);
  for (const Example& example : batcher.set().examples) result.example_ids.push_back(example.id);
  return result;
}

Predictor::Predictor(const Decoder& decoder, const ExampleBatcher& batcher, std::int64_t lowest_layer,
                     std::int64_t batch_size, const RowBudget& prefix_budget)
    : Predictor(decoder, batcher, lowest_layer, batch_size, prefix_budget, {0, batcher.size()}) {}

Predictor::Predictor(const Decoder& decoder, const ExampleBatcher& batcher, std::int64_t lowest_layer,
                     std::int64_t batch_size, const RowBudget& prefix_budget, IndexRange examples)
    : decoder_(decoder),
      batcher_(batcher),
      batch_size_(batch_size),
      examples_(examples),
      prefix_(decoder, batcher, lowest_layer, prefix_budget, examples),
      scorer_(decoder, batcher) {}

at::Tensor Predictor::hidden(const ExampleBatch& batch, const LinearHook* hook) {
  const at::Tensor x = prefix_.rows_of(batch);
  return decoder_.run_layers(x, decoder_.prepare(batch.packed), prefix_.end_layer(), decoder_.config().layers, hook);
}

void Predictor::merge(Merging when, std::uint64_t bytes) {
  merging_ = when;
  merge_budget_ = bytes;
}

bool Predictor::merges(const AdapterBank& bank) const {
  const std::uint64_t element = c10::elementSize(decoder_.dtype());
  const bool possible =
      decoder_.linear_format() == LinearFormat::plain && merged_bytes(bank.layout(), element) <= merge_budget_;
  if (merging_ != Merging::when_less_work || !possible) return possible && merging_ == Merging::always;
  PredictionWork work;
  work.members = bank.member_count();
  for (std::size_t i = examples_.begin; i < examples_.end; ++i) work.rows += batcher_.own_rows(i);
  work.layers_again = prefix_.kept_chunks() == prefix_.chunks() ? 0 : prefix_.end_layer();
  work.element_bytes = element;
  work.on_gpu = decoder_.device().is_cuda();
  work.streams_again = !FrozenLinear::takes_passes_along(decoder_.device(), decoder_.dtype());
  const AdapterCost cost = adapter_cost(decoder_.config(), bank.layout(), bank.config().rank, work);
  return cost.merged < cost.beside;
}

PredictionShare Predictor::share(const AdapterBank& bank, const Progress& progress) {
  PredictionShare result = empty_share(bank.members());
  const std::size_t members = result.members.size();
  const auto batch = static_cast<std::size_t>(batch_size_);
  if (!merges(bank)) {
    run(bank.hook(bank.parameters(), /*training=*/false, 0).get(), {0, members, batch}, result, progress);
    return result;
  }
  for (std::size_t m = 0; m < members; ++m) {
    const MergedHook hook(bank, static_cast<std::int64_t>(m));
    // As many rows in a pass as all members would have.
    run(&hook, {m, 1, batch * members}, result, [&](std::size_t done) {
      if (progress) progress((m * examples_.size() + done) / members);
    });
  }
  return result;
}

Predictions Predictor::choices(const AdapterBank& bank, const Progress& progress) {
  CHORALE_ASSERT(batcher_.kind() == TaskKind::multiple_choice, "choices are predicted for multiple choice only");
  CHORALE_ASSERT(examples_.size() == batcher_.size(), "a part of a set is no prediction of it");
  PredictionShare whole = share(bank, progress);
  return choice_predictions(batcher_, whole.members.size(), std::move(whole.values));
}

Predictions Predictor::base_choices(const Progress& progress) {
  CHORALE_ASSERT(batcher_.kind() == TaskKind::multiple_choice, "choices are predicted for multiple choice only");
  CHORALE_ASSERT(examples_.size() == batcher_.size(), "a part of a set is no prediction of it");
  return choice_predictions(batcher_, 1, base_share(progress).values);
}

TokenPredictions Predictor::tokens(const AdapterBank& bank, const Progress& progress) {
  CHORALE_ASSERT(batcher_.kind() == TaskKind::completion, "answer tokens are scored for completion only");
  CHORALE_ASSERT(examples_.size() == batcher_.size(), "a part of a set is no prediction of it");
  PredictionShare whole = share(bank, progress);
  return token_predictions(batcher_, whole.members.size(), std::move(whole.values));
}

PredictionShare Predictor::base_share(const Progress& progress) {
  PredictionShare result = empty_share({0});
  run(nullptr, {0, 1, static_cast<std::size_t>(batch_size_)}, result, progress);
  return result;
}

PredictionShare Predictor::empty_share(std::vector<std::uint32_t> members) const {
  const std::vector<std::size_t> offsets = cell_offsets(batcher_);
  PredictionShare result;
  result.members = std::move(members);
  result.first = offsets[examples_.begin];
  result.count = offsets[examples_.end] - result.first;
  result.width = cell_shape(batcher_).width;
  result.values.resize(result.members.size() * result.count * result.width);
  return result;
}

void Predictor::run(const LinearHook* hook, const Members& members, PredictionShare& into, const Progress& progress) {
  const at::NoGradGuard no_gradients;
  const std::vector<std::size_t> offsets = cell_offsets(batcher_);
  struct Scored {
    std::size_t begin, end;  // examples
    at::Tensor scores;
  };
  std::vector<Scored> waiting;
  const auto read = [&] {
    for (const Scored& batch : waiting) {
      const at::Tensor scores = batch.scores.to(at::kFloat).cpu().contiguous();
      const auto* values = scores.const_data_ptr<float>();
      const std::size_t count = (offsets[batch.end] - offsets[batch.begin]) * into.width;
      for (std::size_t m = 0; m < members.count; ++m) {
        const std::size_t position =
            ((members.first + m) * into.count + offsets[batch.begin] - into.first) * into.width;
        std::copy_n(values + m * count, count, into.values.begin() + static_cast<std::ptrdiff_t>(position));
      }
    }
    if (progress && !waiting.empty()) progress(waiting.back().end - examples_.begin);
    waiting.clear();
  };
  // Reading waits for a device: batches are given to it ahead of that.
  const std::size_t ahead = decoder_.device().is_cpu() ? 1 : kBatchesAhead;
  for (std::size_t begin = examples_.begin; begin < examples_.end; begin += members.examples) {
    stop_if_asked("batch");
    const std::size_t end = std::min(begin + members.examples, examples_.end);
    const ExampleBatch batch =
        batcher_.build(same_for_all(members.count, begin, end), {.row_multiple = ExampleBatcher::kRowMultiple});
    const at::Tensor last = hidden(batch, hook);
    waiting.push_back({begin, end,
                       batcher_.kind() == TaskKind::completion
                           ? scorer_.token_scores(last, batch.scoring)
                           : scorer_.choice_log_probabilities(last, batch.scoring)});
    if (waiting.size() >= ahead) read();
  }
  read();
}

}  // namespace chorale
