// From tokenised examples to packed rows, and back from rows to scores.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/data/task.hpp"
#include "core/model/packed_batch.hpp"

namespace chorale {

/// How a batch is filled up with rows that belong to no sequence, so that batches come in fewer shapes.
struct BatchPadding {
  std::int64_t row_multiple = 1;  // the batch's rows become a multiple of it, by rows after the last stream
  /// Every stream that is not empty gets as many rows as the longest, a multiple of row_multiple, and as many outputs
  /// as the one with most, a multiple of output_multiple; the picks of the batch become a multiple of it as well.
  bool equal_streams = false;
  std::int64_t output_multiple = 1;
};

/// Which outputs make up which score. Cells are (example, choice) pairs, examples counted over all streams.
struct ScoringPlan {
  std::int64_t examples = 0;
  std::int64_t choices = 0;                         // the set's largest K; 1 for completion
  std::vector<std::int64_t> example_offsets = {0};  // [streams + 1]
  std::vector<std::size_t> example_index;           // [examples] in the set
  at::Tensor set_index;                             // [examples] int64: the same
  at::Tensor example_stream;                        // [examples] int64
  at::Tensor labels;                                // [examples] int64; -1: unlabelled
  at::Tensor missing;                               // [examples, choices] bool: choices an example lacks
  // label_token: the logit of label column c of output o.
  at::Tensor label_output;   // [examples] int64
  at::Tensor label_columns;  // [examples, choices] int64 into ExampleBatcher::label_tokens()
  // option_likelihood and completion: one pick per scored token.
  at::Tensor pick_output;       // [picks] int64
  at::Tensor pick_token;        // [picks] int64
  at::Tensor pick_cell;         // [picks] int64: example * choices + choice
  at::Tensor pick_example;      // [picks] int64
  at::Tensor pick_stream;       // [picks] int64
  at::Tensor pick_weight;       // [picks]: 1 / tokens of the option (completion: 1); 0 for picks that only fill up
  std::int64_t real_picks = 0;  // the others fill up, behind these

  /// Every tensor there is for this kind of task, in a fixed order.
  [[nodiscard]] std::vector<at::Tensor> tensors() const;
};

struct ExampleBatch {
  PackedBatch packed;
  ScoringPlan scoring;
  std::int64_t padding_rows = 0;          // of packed.rows()
  std::vector<std::int64_t> source_rows;  // [rows] in the numbering of ExampleBatcher::row_count()
};

/// Lays the examples of one set out in rows. A token prefix that all examples share is one span that all of them follow
/// from, computed once per member and batch (on a GPU from kShortestSharedOnDevice tokens on). In option_likelihood the
/// options are spans behind their prompt, so the prompt is computed once too; an option's last token needs no row, for
/// nothing is predicted from it.
class ExampleBatcher {
 public:
  ExampleBatcher(const ExampleSet& set, TaskKind kind, Scoring scoring, at::Device device, at::ScalarType score_type);

  [[nodiscard]] const ExampleSet& set() const { return set_; }
  [[nodiscard]] std::size_t size() const { return set_.examples.size(); }
  [[nodiscard]] TaskKind kind() const { return kind_; }
  [[nodiscard]] Scoring scoring() const { return scoring_; }
  [[nodiscard]] std::int64_t choices() const { return choices_; }

  static constexpr std::int64_t kShortestSharedOnDevice = 16;

  /// Row counts are rounded up to this by whoever runs many batches: libraries prepare code for every shape they meet,
  /// and keep it, so a new row count in every batch costs time and memory that grows with the run.
  static constexpr std::int64_t kRowMultiple = 32;

  /// Batch of the given examples for each stream.
  [[nodiscard]] ExampleBatch build(const std::vector<std::vector<std::size_t>>& streams,
                                   const BatchPadding& padding = {}) const;

  /// Rows of the whole set when every example is laid out once: the common prefix first, then the examples in order.
  [[nodiscard]] std::int64_t row_count() const { return row_offsets_.back(); }
  [[nodiscard]] std::int64_t common_rows() const { return common_; }
  /// First row of an example in that numbering.
  [[nodiscard]] std::int64_t first_row(std::size_t example) const { return row_offsets_[example]; }
  /// Tokens that count as this example's work (for tokens per second).
  [[nodiscard]] std::int64_t own_rows(std::size_t example) const {
    return row_offsets_[example + 1] - row_offsets_[example];
  }

  /// Distinct label tokens of the set, whose head rows are all of the head label scoring needs; empty otherwise.
  [[nodiscard]] const std::vector<std::int64_t>& label_tokens() const { return label_tokens_; }

 private:
  struct Picks;
  struct StreamShape {
    std::int64_t rows = 0;
    std::int64_t outputs = 0;
  };
  void add_example(std::size_t index, std::int64_t parent, ExampleBatch& batch, Picks& picks) const;
  [[nodiscard]] StreamShape shape_of(const std::vector<std::size_t>& examples) const;
  [[nodiscard]] StreamShape common_shape(const std::vector<std::vector<std::size_t>>& streams,
                                         const BatchPadding& padding) const;
  void upload(ScoringPlan& plan, Picks& picks, std::int64_t pick_multiple) const;

  const ExampleSet& set_;
  TaskKind kind_;
  Scoring scoring_;
  at::Device device_;
  at::ScalarType score_type_;
  std::int64_t common_ = 0;
  std::int64_t choices_ = 1;
  std::vector<std::int64_t> row_offsets_;   // [examples + 1], starting at common_
  std::vector<std::int64_t> label_tokens_;  // ascending
};

}  // namespace chorale
