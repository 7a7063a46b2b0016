// What is measured: the options of step_bench, and the work they stand for.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/adapters/adapter_config.hpp"
#include "core/data/task.hpp"
#include "core/weights/model_config.hpp"

namespace chorale::bench {

struct Options {
  std::string variant = "fused";
  std::string device = "cpu";
  std::string shape = "tiny";
  std::string dtype = "auto";
  std::string recompute = "none";
  std::string targets = "all";
  std::string layers = "all";
  std::int64_t members = 5;
  std::int64_t batch = 8;
  std::int64_t sequence = 32;
  std::int64_t rank = 16;
  double memory = 0.0;  // GB that a GPU is taken to have; 0: what it has
  std::int64_t steps = 20;
  std::int64_t batches = 1;  // of an evaluation's set
  std::int64_t turn = 1;     // steps between two looks at the clock
  int threads = 0;
  bool answer_only = false;
  bool share_batch = false;
  bool no_prefix = false;  // every member computes the frozen layers for itself, in every step
  bool check = false;
  bool profile = false;
  bool paced = false;
};

constexpr std::size_t kStepsPerEpoch = 4;

/// The adapters the options ask for. Throws UsageError for names that do not exist.
[[nodiscard]] AdapterConfig adapter_of(const Options& options, const ModelConfig& model);

/// `batches` batches of examples of `sequence` random tokens each, without a common beginning. All tokens: a token as
/// the prompt and `sequence` tokens of answer behind it, so `sequence` rows that each predict one token. Answer only: a
/// prompt of `sequence` tokens and one of four label tokens.
[[nodiscard]] ExampleSet random_examples(const Options& options, const ModelConfig& config, std::size_t batches);

/// Floating-point operations of one optimiser step of all members, as the literature counts them for a frozen base: 4
/// per weight and token (forward, and the gradient of the inputs), 6 * sequence * hidden per token and layer for
/// causal attention (forward 2, backward 4), the output head where it is computed. Adapters are not counted.
[[nodiscard]] double step_operations(const Options& options, const ModelConfig& config);

/// The same of an evaluation: forward only.
[[nodiscard]] double evaluation_operations(const Options& options, const ModelConfig& config);

}  // namespace chorale::bench
