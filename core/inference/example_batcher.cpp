#include "core/inference/example_batcher.hpp"

#include <ATen/ops/tensor.h>

#include <algorithm>
#include <set>

#include "core/base/errors.hpp"

namespace chorale {
namespace {

// Longest token prefix of all prompts, leaving every example at least one row of its own.
std::int64_t common_prefix(const std::vector<Example>& examples) {
  if (examples.size() < 2) return 0;
  const std::vector<TokenId>& first = examples.front().prompt;
  std::size_t common = first.size() - 1;
  for (const Example& example : examples) {
    common = std::min(common, example.prompt.size() - 1);
    const auto stop =
        std::mismatch(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(common), example.prompt.begin());
    common = static_cast<std::size_t>(stop.first - first.begin());
  }
  return static_cast<std::int64_t>(common);
}

// Example and token in one key: up to 2^24 tokens per example; the common prefix has keys below 2^24.
std::uint64_t row_key(std::size_t example, std::int64_t row) {
  return (static_cast<std::uint64_t>(example + 1) << 24U) + static_cast<std::uint64_t>(row);
}

at::Tensor index_tensor(const std::vector<std::int64_t>& values, at::Device device) {
  return at::tensor(values, at::kLong).to(device);
}

}  // namespace

// Plain vectors that become the scoring plan's tensors once the batch is complete.
struct ExampleBatcher::Picks {
  std::vector<std::int64_t> labels, label_output, label_columns, output, token, cell, example;
  std::vector<std::uint8_t> missing;
  std::vector<double> weight;
};

ExampleBatcher::ExampleBatcher(const ExampleSet& set, TaskKind kind, Scoring scoring, at::Device device,
                               at::ScalarType score_type)
    : set_(set), kind_(kind), scoring_(scoring), device_(device), score_type_(score_type) {
  CHORALE_ASSERT(!set.examples.empty(), "an empty example set was let through");
  common_ = common_prefix(set.examples);
  row_offsets_.push_back(common_);
  std::set<std::int64_t> labels;
  for (const Example& example : set.examples) {
    auto rows = static_cast<std::int64_t>(example.prompt.size()) - common_;
    for (const auto& continuation : example.continuations) rows += static_cast<std::int64_t>(continuation.size()) - 1;
    row_offsets_.push_back(row_offsets_.back() + rows);
    labels.insert(example.label_tokens.begin(), example.label_tokens.end());
    if (kind == TaskKind::multiple_choice) {
      choices_ =
          std::max(choices_, static_cast<std::int64_t>(scoring == Scoring::label_token ? example.label_tokens.size()
                                                                                       : example.continuations.size()));
    }
  }
  label_tokens_.assign(labels.begin(), labels.end());
}

void ExampleBatcher::add_example(std::size_t index, std::int64_t parent, ExampleBatch& batch, Picks& picks) const {
  const Example& example = set_.examples[index];
  PackedBatch& packed = batch.packed;
  const std::int64_t number = batch.scoring.examples++;
  batch.scoring.example_index.push_back(index);
  picks.labels.push_back(example.label);
  for (std::int64_t row = 0; row < own_rows(index); ++row) batch.source_rows.push_back(first_row(index) + row);

  const TokenId* prompt = example.prompt.data();
  const std::int64_t span =
      packed.add_span(prompt + common_, prompt + example.prompt.size(), parent, row_key(index, 0));
  const std::int64_t asked = packed.add_output(packed.rows() - 1);
  if (!example.label_tokens.empty()) {
    picks.label_output.push_back(asked);
    for (std::int64_t k = 0; k < choices_; ++k) {
      const bool has = k < static_cast<std::int64_t>(example.label_tokens.size());
      const auto token = has ? example.label_tokens[static_cast<std::size_t>(k)] : label_tokens_.front();
      const auto column = std::lower_bound(label_tokens_.begin(), label_tokens_.end(), token) - label_tokens_.begin();
      picks.label_columns.push_back(column);
      picks.missing.push_back(has ? 0 : 1);
    }
    return;
  }
  std::int64_t row = packed.rows() - packed.layout.spans.back().begin;
  for (std::int64_t k = 0; k < choices_; ++k) {
    const bool has = k < static_cast<std::int64_t>(example.continuations.size());
    picks.missing.push_back(has ? 0 : 1);
    if (!has) continue;
    const std::vector<TokenId>& tokens = example.continuations[static_cast<std::size_t>(k)];
    const double weight = kind_ == TaskKind::completion ? 1.0 : 1.0 / static_cast<double>(tokens.size());
    std::int64_t output = asked;
    if (tokens.size() > 1) packed.add_span(tokens.data(), tokens.data() + tokens.size() - 1, span, row_key(index, row));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0) {
        output = packed.add_output(packed.rows() - static_cast<std::int64_t>(tokens.size() - 1) +
                                   static_cast<std::int64_t>(i) - 1);
      }
      picks.output.push_back(output);
      picks.token.push_back(tokens[i]);
      picks.cell.push_back(number * choices_ + k);
      picks.example.push_back(number);
      picks.weight.push_back(weight);
    }
    row += static_cast<std::int64_t>(tokens.size()) - 1;
  }
}

ExampleBatch ExampleBatcher::build(const std::vector<std::vector<std::size_t>>& streams, std::int64_t pad_rows_to,
                                   std::int64_t row_multiple) const {
  ExampleBatch batch;
  Picks picks;
  ScoringPlan& plan = batch.scoring;
  plan.choices = choices_;
  const auto pad = [&batch](std::int64_t rows) {
    batch.packed.add_padding(rows);
    batch.source_rows.insert(batch.source_rows.end(), static_cast<std::size_t>(rows), 0);
    batch.padding_rows += rows;
  };
  for (std::size_t stream = 0; stream < streams.size(); ++stream) {
    const std::vector<std::size_t>& examples = streams[stream];
    const std::int64_t first = batch.packed.rows();
    std::int64_t parent = -1;
    if (common_ > 0 && !examples.empty()) {
      const TokenId* tokens = set_.examples.front().prompt.data();
      parent = batch.packed.add_span(tokens, tokens + common_, -1, 0);
      for (std::int64_t row = 0; row < common_; ++row) batch.source_rows.push_back(row);
    }
    for (const std::size_t index : examples) add_example(index, parent, batch, picks);
    const std::int64_t missing = pad_rows_to - (batch.packed.rows() - first);
    CHORALE_ASSERT(pad_rows_to == 0 || missing >= 0, "a stream has more rows than it was to be padded to");
    if (pad_rows_to > 0) pad(missing);
    if (stream + 1 == streams.size()) pad((row_multiple - batch.packed.rows() % row_multiple) % row_multiple);
    batch.packed.end_stream();
    plan.example_offsets.push_back(plan.examples);
  }
  plan.labels = index_tensor(picks.labels, device_);
  plan.missing = at::tensor(picks.missing, at::kByte).to(at::kBool).view({plan.examples, choices_}).to(device_);
  if (scoring_ == Scoring::label_token && kind_ == TaskKind::multiple_choice) {
    plan.label_output = index_tensor(picks.label_output, device_);
    plan.label_columns = index_tensor(picks.label_columns, device_).view({plan.examples, choices_});
  } else {
    plan.pick_output = index_tensor(picks.output, device_);
    plan.pick_token = index_tensor(picks.token, device_);
    plan.pick_cell = index_tensor(picks.cell, device_);
    plan.pick_example = index_tensor(picks.example, device_);
    plan.pick_weight = at::tensor(picks.weight, at::kDouble).to(score_type_).to(device_);
  }
  return batch;
}

}  // namespace chorale
