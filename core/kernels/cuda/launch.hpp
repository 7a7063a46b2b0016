// What the CUDA kernels take, in raw pointers: the one thing that files with torch and files for nvcc both know. Plain
// C++17. All matrices are row-major; strides count elements between rows.
#pragma once

#include <cstdint>

#include "core/kernels/adamw_decision.hpp"

namespace chorale::device {

using Stream = void*;       // cudaStream_t
using Error = const char*;  // null: launched
using Index = std::int64_t;

enum class Type { f32, bf16 };

/// Rows of each member, by value so that a recorded launch keeps them.
struct RowRanges {
  static constexpr int kMaxMembers = 64;
  int members = 0;
  Index offsets[kMaxMembers + 1] = {};
};

/// residual = x + delta; y = residual / sqrt(mean(residual^2) + epsilon) * weight, per row.
struct RmsNormForward {
  Type type = Type::bf16;       // of delta and y
  const float* x = nullptr;     // [rows, hidden]
  const void* delta = nullptr;  // [rows, hidden], or null: nothing is added and residual is not written
  const float* weight = nullptr;
  float* residual = nullptr;
  void* y = nullptr;
  float* scales = nullptr;  // [rows]: 1/sqrt(...)
  Index rows = 0, hidden = 0;
  float epsilon = 0;
};

/// dx = d_residual + the norm's own part; d_delta is dx in the type of dy.
struct RmsNormBackward {
  Type type = Type::bf16;           // of dy and d_delta
  const float* residual = nullptr;  // what was normed
  const float* weight = nullptr;
  const float* scales = nullptr;
  const void* dy = nullptr;
  const float* d_residual = nullptr;  // or null: zero
  float* dx = nullptr;
  void* d_delta = nullptr;  // or null: not wanted
  Index rows = 0, hidden = 0;
};

/// y = silu(gate) * up with gate and up side by side in a row of gate_up [rows, 2*width].
struct SwiGlu {
  Type type = Type::bf16;
  const void* gate_up = nullptr;
  void* y = nullptr;          // forward: [rows, width]
  const void* dy = nullptr;   // backward
  void* d_gate_up = nullptr;  // backward; may be where gate_up is
  Index rows = 0, width = 0;
};

/// Rotates pairs (i, i + head_dim/2) of every head by its row's angles, or back by them.
struct Rotary {
  Type type = Type::bf16;
  const void* from = nullptr;     // [rows, heads*head_dim] inside rows of from_stride
  void* to = nullptr;             // the same memory, or other
  const float* cosine = nullptr;  // [rows, head_dim/2]
  const float* sine = nullptr;
  Index rows = 0, heads = 0, head_dim = 0, from_stride = 0, to_stride = 0;
  bool back = false;
};

/// Keeps an element with probability 1 - rate and multiplies it by 1/(1 - rate); see core/kernels/dropout.hpp.
struct Dropout {
  Type type = Type::bf16;
  const void* x = nullptr;  // [rows, width], or null: the mask itself
  void* y = nullptr;
  const std::uint64_t* row_keys = nullptr;  // [rows]
  const std::uint64_t* step = nullptr;      // one number on the device
  RowRanges ranges;
  std::uint32_t members[RowRanges::kMaxMembers] = {};  // global member of each range
  std::uint64_t seed = 0;
  std::uint32_t site = 0;
  Index rows = 0, width = 0;
  float threshold = 0, keep = 0;
};

/// u = scale * x m^T in bfloat16, sums in float32. Rows of member i meet m[i] [rank, width].
struct LowRankDown {
  const void* x = nullptr;
  const void* m = nullptr;
  void* u = nullptr;
  float* partial = nullptr;  // [splits, rows, rank] when splits > 1
  RowRanges ranges;
  Index width = 0, rank = 0;
  Index x_stride = 0, m_stride = 0, m_member_stride = 0, u_stride = 0;
  int splits = 1;  // parts of the width, summed in order afterwards
  float scale = 1;
};

/// y += scale * u m in bfloat16, sums in float32.
struct LowRankUp {
  const void* u = nullptr;
  const void* m = nullptr;  // [members, rank, width]
  void* y = nullptr;
  RowRanges ranges;
  Index width = 0, rank = 0;
  Index u_stride = 0, m_stride = 0, m_member_stride = 0, y_stride = 0;
  float scale = 1;
};

/// picked[p] = logits[output_of[p] - first, token_of[p]] for the picks whose output lies in this block of rows.
struct PickLogits {
  Type type = Type::bf16;
  const void* logits = nullptr;  // [rows, vocabulary]
  const Index* output_of = nullptr;
  const Index* token_of = nullptr;
  float* picked = nullptr;
  Index picks = 0, first = 0, rows = 0, vocabulary = 0;
};

/// log_totals = logsumexp of every row; with `overwrite` the logits become probabilities.
struct SoftmaxRows {
  Type type = Type::bf16;
  void* logits = nullptr;  // [rows, vocabulary]
  float* log_totals = nullptr;
  Index rows = 0, vocabulary = 0;
  bool overwrite = false;
};

/// Gradient of picked log-likelihoods: row o gets sum over its picks p of weight[p] * (head[token[p]] - expected[o]).
struct LikelihoodGradient {
  Type type = Type::bf16;
  const void* expected = nullptr;       // [outputs, hidden]: softmax(logits) head
  const void* head = nullptr;           // [vocabulary, hidden]
  const Index* pick_offsets = nullptr;  // [outputs + 1] into `order`
  const Index* order = nullptr;         // picks sorted by output
  const Index* token_of = nullptr;
  const float* weights = nullptr;  // [picks]
  void* dx = nullptr;
  Index outputs = 0, hidden = 0;
};

/// Sums of squares in float64 of `part` columns each: partial [members, parts].
struct SquaredNorms {
  const float* gradients = nullptr;
  double* partial = nullptr;
  Index members = 0, width = 0, part = 0, parts = 0;
};

/// decide_member for every member.
struct DecideStep {
  AdamWSettings settings;
  const double* partial = nullptr;
  double* norms = nullptr;
  const double* rates = nullptr;
  const double* factors = nullptr;
  const Index* step = nullptr;
  bool* training = nullptr;
  Index* counts = nullptr;
  Index* diverged_at = nullptr;
  double* coefficients = nullptr;
  Index members = 0, parts = 0, factor_count = 0;
};

struct ApplyAdamW {
  AdamWSettings settings;
  float* parameters = nullptr;
  const float* gradients = nullptr;
  float* first_moment = nullptr;
  float* second_moment = nullptr;
  void* copy = nullptr;  // bfloat16, or null
  const double* coefficients = nullptr;
  const Index* segment_ends = nullptr;
  const double* segment_decays = nullptr;
  Index* step = nullptr;  // counted up
  Index members = 0, width = 0, segments = 0;
};

/// One set of kernels: those of a GPU, or the same source on the CPU (tests/support/cuda_emulation.hpp).
struct Kernels {
  Error (*rms_norm_forward)(const RmsNormForward&, Stream) = nullptr;
  Error (*rms_norm_backward)(const RmsNormBackward&, Stream) = nullptr;
  Error (*swiglu_forward)(const SwiGlu&, Stream) = nullptr;
  Error (*swiglu_backward)(const SwiGlu&, Stream) = nullptr;
  Error (*rotary)(const Rotary&, Stream) = nullptr;
  Error (*dropout)(const Dropout&, Stream) = nullptr;
  Error (*low_rank_down)(const LowRankDown&, Stream) = nullptr;
  Error (*low_rank_up)(const LowRankUp&, Stream) = nullptr;
  Error (*pick_logits)(const PickLogits&, Stream) = nullptr;
  Error (*softmax_rows)(const SoftmaxRows&, Stream) = nullptr;
  Error (*likelihood_gradient)(const LikelihoodGradient&, Stream) = nullptr;
  Error (*squared_norms)(const SquaredNorms&, Stream) = nullptr;
  Error (*decide_step)(const DecideStep&, Stream) = nullptr;
  Error (*apply_adamw)(const ApplyAdamW&, Stream) = nullptr;
};

}  // namespace chorale::device
