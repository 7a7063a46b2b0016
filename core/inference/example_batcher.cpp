#include "core/inference/example_batcher.hpp"

#include <algorithm>
#include <set>

#include "core/base/errors.hpp"
#include "core/model/upload.hpp"

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

std::int64_t rounded_up(std::int64_t count, std::int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

}  // namespace

std::vector<at::Tensor> ScoringPlan::tensors() const {
  std::vector<at::Tensor> all;
  for (const at::Tensor& tensor : {labels, missing, set_index, example_stream, label_output, label_columns, pick_output,
                                   pick_token, pick_cell, pick_example, pick_stream, pick_weight}) {
    if (tensor.defined()) all.push_back(tensor);
  }
  return all;
}

// Plain vectors that become the scoring plan's tensors once the batch is complete.
struct ExampleBatcher::Picks {
  std::vector<std::int64_t> labels, label_output, label_columns, output, token, cell, example;
  std::vector<std::uint8_t> missing;
  std::vector<double> weight;

  // Picks that repeat the first one, whose score is a number as long as the real ones are, with no weight.
  void fill_up(std::int64_t count) {
    if (output.empty()) return;
    for (auto* values : {&output, &token, &cell, &example}) {
      values->resize(static_cast<std::size_t>(count), values->front());
    }
    weight.resize(static_cast<std::size_t>(count), 0.0);
  }
};

ExampleBatcher::ExampleBatcher(const ExampleSet& set, TaskKind kind, Scoring scoring, at::Device device,
                               at::ScalarType score_type)
    : set_(set), kind_(kind), scoring_(scoring), device_(device), score_type_(score_type) {
  CHORALE_ASSERT(!set.examples.empty(), "an empty example set was let through");
  common_ = common_prefix(set.examples);
  // On a GPU sharing costs every layer another call of attention, which a few rows of every example are not worth.
  if (device.is_cuda() && common_ < kShortestSharedOnDevice) common_ = 0;
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

  // A prompt with one answer is one sequence: one span attends faster than two.
  std::vector<TokenId> tokens(example.prompt.begin() + common_, example.prompt.end());
  const auto prompt_rows = static_cast<std::int64_t>(tokens.size());
  const bool joined = kind_ == TaskKind::completion;
  if (joined) {
    const std::vector<TokenId>& answer = example.continuations.front();
    tokens.insert(tokens.end(), answer.begin(), answer.end() - 1);
  }
  const std::int64_t begin = packed.rows();
  const std::int64_t span = packed.add_span(tokens.data(), tokens.data() + tokens.size(), parent, row_key(index, 0));
  const std::int64_t asked = packed.add_output(begin + prompt_rows - 1);
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
  std::int64_t row = prompt_rows;
  for (std::int64_t k = 0; k < choices_; ++k) {
    const bool has = k < static_cast<std::int64_t>(example.continuations.size());
    picks.missing.push_back(has ? 0 : 1);
    if (!has) continue;
    const std::vector<TokenId>& answer = example.continuations[static_cast<std::size_t>(k)];
    const auto answer_rows = static_cast<std::int64_t>(answer.size()) - 1;
    const double weight = kind_ == TaskKind::completion ? 1.0 : 1.0 / static_cast<double>(answer.size());
    if (!joined && answer_rows > 0) {
      packed.add_span(answer.data(), answer.data() + answer_rows, span, row_key(index, row));
    }
    const std::int64_t first = packed.rows() - answer_rows;
    for (std::int64_t i = 0; i <= answer_rows; ++i) {
      picks.output.push_back(i == 0 ? asked : packed.add_output(first + i - 1));
      picks.token.push_back(answer[static_cast<std::size_t>(i)]);
      picks.cell.push_back(number * choices_ + k);
      picks.example.push_back(number);
      picks.weight.push_back(weight);
    }
    row += answer_rows;
  }
}

ExampleBatcher::StreamShape ExampleBatcher::shape_of(const std::vector<std::size_t>& examples) const {
  StreamShape shape;
  if (!examples.empty()) shape.rows = common_;
  for (const std::size_t index : examples) {
    shape.rows += own_rows(index);
    ++shape.outputs;  // the prompt's last row; beyond it, every token of a continuation but its last
    for (const auto& tokens : set_.examples[index].continuations) {
      shape.outputs += static_cast<std::int64_t>(tokens.size()) - 1;
    }
  }
  return shape;
}

ExampleBatcher::StreamShape ExampleBatcher::common_shape(const std::vector<std::vector<std::size_t>>& streams,
                                                         const BatchPadding& padding) const {
  StreamShape common;
  for (const auto& examples : streams) common.outputs = std::max(common.outputs, shape_of(examples).outputs);
  common.outputs = rounded_up(common.outputs, padding.output_multiple);
  for (const auto& examples : streams) {
    const StreamShape own = shape_of(examples);
    // Outputs that fill up are rows that fill up.
    common.rows = std::max(common.rows, own.rows + common.outputs - own.outputs);
  }
  common.rows = rounded_up(common.rows, padding.row_multiple);
  return common;
}

ExampleBatch ExampleBatcher::build(const std::vector<std::vector<std::size_t>>& streams,
                                   const BatchPadding& padding) const {
  ExampleBatch batch;
  Picks picks;
  ScoringPlan& plan = batch.scoring;
  plan.choices = choices_;
  const auto pad = [&batch](std::int64_t rows) {
    batch.packed.add_padding(rows);
    batch.source_rows.insert(batch.source_rows.end(), static_cast<std::size_t>(rows), 0);
    batch.padding_rows += rows;
  };
  const StreamShape common = padding.equal_streams ? common_shape(streams, padding) : StreamShape();
  for (std::size_t stream = 0; stream < streams.size(); ++stream) {
    const std::vector<std::size_t>& examples = streams[stream];
    const std::int64_t first = batch.packed.rows();
    const std::int64_t first_output = batch.packed.output_offsets.back();
    std::int64_t parent = -1;
    if (common_ > 0 && !examples.empty()) {
      const TokenId* tokens = set_.examples.front().prompt.data();
      parent = batch.packed.add_span(tokens, tokens + common_, -1, 0);
      for (std::int64_t row = 0; row < common_; ++row) batch.source_rows.push_back(row);
    }
    for (const std::size_t index : examples) add_example(index, parent, batch, picks);
    if (padding.equal_streams && !examples.empty()) {
      const auto outputs = static_cast<std::int64_t>(batch.packed.output_rows.size()) - first_output;
      const std::int64_t row = batch.packed.rows();
      pad(common.rows - (row - first));
      for (std::int64_t i = 0; i < common.outputs - outputs; ++i) batch.packed.add_output(row + i);
    } else if (!padding.equal_streams && stream + 1 == streams.size()) {
      pad(rounded_up(batch.packed.rows(), padding.row_multiple) - batch.packed.rows());
    }
    batch.packed.end_stream();
    plan.example_offsets.push_back(plan.examples);
  }
  upload(plan, picks, padding.equal_streams ? padding.output_multiple : 1);
  return batch;
}

void ExampleBatcher::upload(ScoringPlan& plan, Picks& picks, std::int64_t pick_multiple) const {
  std::vector<std::int64_t> stream_of;
  for (std::size_t stream = 0; stream + 1 < plan.example_offsets.size(); ++stream) {
    stream_of.insert(stream_of.end(),
                     static_cast<std::size_t>(plan.example_offsets[stream + 1] - plan.example_offsets[stream]),
                     static_cast<std::int64_t>(stream));
  }
  Upload upload(device_);
  upload.add(plan.labels, picks.labels);
  upload.add_flags(plan.missing, picks.missing);
  upload.add(plan.set_index, std::vector<std::int64_t>(plan.example_index.begin(), plan.example_index.end()));
  upload.add(plan.example_stream, stream_of);
  const bool by_label = scoring_ == Scoring::label_token && kind_ == TaskKind::multiple_choice;
  std::vector<std::int64_t> pick_stream;
  if (by_label) {
    upload.add(plan.label_output, picks.label_output);
    upload.add(plan.label_columns, picks.label_columns);
  } else {
    plan.real_picks = static_cast<std::int64_t>(picks.output.size());
    picks.fill_up(rounded_up(plan.real_picks, pick_multiple));
    for (const std::int64_t example : picks.example)
      pick_stream.push_back(stream_of[static_cast<std::size_t>(example)]);
    upload.add(plan.pick_output, picks.output);
    upload.add(plan.pick_token, picks.token);
    upload.add(plan.pick_cell, picks.cell);
    upload.add(plan.pick_example, picks.example);
    upload.add(plan.pick_stream, pick_stream);
    upload.add(plan.pick_weight, picks.weight, score_type_);
  }
  upload.send();
  plan.missing = plan.missing.view({plan.examples, choices_});
  if (by_label) plan.label_columns = plan.label_columns.view({plan.examples, choices_});
}

}  // namespace chorale
