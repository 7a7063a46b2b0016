#include "core/inference/predictor.hpp"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <numeric>

#include "core/base/errors.hpp"

namespace chorale {
namespace {

// Examples [begin, end) for each of `members` streams.
std::vector<std::vector<std::size_t>> same_for_all(std::int64_t members, std::size_t begin, std::size_t end) {
  std::vector<std::size_t> examples(end - begin);
  std::iota(examples.begin(), examples.end(), begin);
  return std::vector<std::vector<std::size_t>>(static_cast<std::size_t>(members), examples);
}

}  // namespace

Predictor::Predictor(const Decoder& decoder, const ExampleBatcher& batcher, std::int64_t lowest_layer,
                     std::int64_t batch_size, std::uint64_t prefix_budget)
    : decoder_(decoder),
      batcher_(batcher),
      batch_size_(batch_size),
      prefix_(decoder, batcher, lowest_layer, prefix_budget),
      scorer_(decoder, batcher) {}

at::Tensor Predictor::hidden(const ExampleBatch& batch, const LinearHook* hook) {
  const at::Tensor x = prefix_.rows_of(batch);
  return decoder_.run_layers(x, decoder_.prepare(batch.packed), prefix_.end_layer(), decoder_.config().layers, hook);
}

Predictions Predictor::choices(const AdapterBank& bank, const Progress& progress) {
  return run_choices(bank.hook(bank.parameters(), /*training=*/false, 0).get(), bank.member_count(), progress);
}

Predictions Predictor::base_choices(const Progress& progress) {
  return run_choices(nullptr, 1, progress);
}

Predictions Predictor::run_choices(const LinearHook* hook, std::int64_t members, const Progress& progress) {
  CHORALE_ASSERT(batcher_.kind() == TaskKind::multiple_choice, "choices are predicted for multiple choice only");
  const at::NoGradGuard no_gradients;
  Predictions result;
  result.name = batcher_.set().name;
  result.members = static_cast<std::size_t>(members);
  result.examples = batcher_.size();
  result.choices = static_cast<std::size_t>(batcher_.choices());
  result.log_probabilities.resize(result.members * result.examples * result.choices);
  for (const Example& example : batcher_.set().examples) {
    result.labels.push_back(example.label);
    result.example_ids.push_back(example.id);
  }
  const auto step = static_cast<std::size_t>(batch_size_);
  for (std::size_t begin = 0; begin < result.examples; begin += step) {
    const std::size_t end = std::min(begin + step, result.examples);
    const ExampleBatch batch = batcher_.build(same_for_all(members, begin, end), 0, ExampleBatcher::kRowMultiple);
    const at::Tensor log_p =
        scorer_.choice_log_probabilities(hidden(batch, hook), batch.scoring).to(at::kFloat).cpu().contiguous();
    const auto* values = log_p.const_data_ptr<float>();
    const std::size_t cells = (end - begin) * result.choices;
    for (std::size_t m = 0; m < result.members; ++m) {
      std::copy_n(values + m * cells, cells,
                  result.log_probabilities.begin() +
                      static_cast<std::ptrdiff_t>((m * result.examples + begin) * result.choices));
    }
    if (progress) progress(end);
  }
  return result;
}

TokenPredictions Predictor::tokens(const AdapterBank& bank, const Progress& progress) {
  CHORALE_ASSERT(batcher_.kind() == TaskKind::completion, "answer tokens are scored for completion only");
  const at::NoGradGuard no_gradients;
  const auto hook = bank.hook(bank.parameters(), /*training=*/false, 0);
  TokenPredictions result;
  result.name = batcher_.set().name;
  result.members = static_cast<std::size_t>(bank.member_count());
  result.example_offsets = {0};
  for (const Example& example : batcher_.set().examples) {
    result.example_ids.push_back(example.id);
    result.example_offsets.push_back(result.example_offsets.back() + example.continuations.front().size());
  }
  const std::size_t total = result.example_offsets.back();
  result.log_likelihoods.resize(result.members * total);
  const auto step = static_cast<std::size_t>(batch_size_);
  for (std::size_t begin = 0; begin < batcher_.size(); begin += step) {
    const std::size_t end = std::min(begin + step, batcher_.size());
    const ExampleBatch batch =
        batcher_.build(same_for_all(bank.member_count(), begin, end), 0, ExampleBatcher::kRowMultiple);
    const at::Tensor scores =
        scorer_.token_scores(hidden(batch, hook.get()), batch.scoring).to(at::kFloat).cpu().contiguous();
    const auto* values = scores.const_data_ptr<float>();
    const std::size_t first = result.example_offsets[begin];
    const std::size_t count = result.example_offsets[end] - first;
    for (std::size_t m = 0; m < result.members; ++m) {
      std::copy_n(values + m * count, count,
                  result.log_likelihoods.begin() + static_cast<std::ptrdiff_t>(m * total + first));
    }
    if (progress) progress(end);
  }
  return result;
}

}  // namespace chorale
