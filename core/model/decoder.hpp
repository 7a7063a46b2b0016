// The frozen decoder of the Llama family: embedding, layers, final norm, output head.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/kernels/frozen_linear.hpp"
#include "core/model/linear_hook.hpp"
#include "core/model/packed_batch.hpp"
#include "core/model/recompute.hpp"
#include "core/model/rotary.hpp"
#include "core/weights/base_dtype.hpp"
#include "core/weights/base_files.hpp"
#include "core/weights/model_config.hpp"

namespace chorale {

class WeightReader;

struct DecoderOptions {
  at::ScalarType dtype = at::kFloat;  // of weights and products: float32, bfloat16, or float64 for gradient checks
  at::Device device = at::kCPU;
  LinearFormat linears = LinearFormat::plain;  // of the layers' linears
  /// Where processes of this machine that make the same decoder lay its weights, once for all of them; null: nowhere.
  std::shared_ptr<const SharedWeights> shared = nullptr;
};

/// Whether `shared` would spare such a decoder the larger part of its memory.
[[nodiscard]] bool can_be_shared(const DecoderOptions& options);

/// What a base held as `dtype` computes in: compact ones in bfloat16 on a GPU, in float32 on the CPU.
[[nodiscard]] DecoderOptions decoder_options(BaseDtype dtype, at::Device device);

/// Holds the frozen weights and knows no adapter. The residual stream is float32 (float64 with dtype float64), whatever
/// the products are computed in.
class Decoder {
 public:
  /// Reads every tensor once, the next layer ahead from the disk. Throws InputError through BaseFiles. With
  /// options.shared, which one decoder of each process may use, it must not be used before those of all processes are
  /// there.
  Decoder(const BaseFiles& files, const DecoderOptions& options);

  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] at::ScalarType dtype() const { return options_.dtype; }
  [[nodiscard]] at::ScalarType residual_dtype() const {
    return options_.dtype == at::kDouble ? at::kDouble : at::kFloat;
  }
  [[nodiscard]] at::Device device() const { return options_.device; }
  [[nodiscard]] LinearFormat linear_format() const { return options_.linears; }
  /// Bytes of an element of what the products read and give.
  [[nodiscard]] std::uint64_t activation_bytes() const { return c10::elementSize(activation_dtype()); }
  /// The type of what the products read and give.
  [[nodiscard]] at::ScalarType activation_dtype() const;

  [[nodiscard]] PreparedBatch prepare(const PackedBatch& batch) const;

  /// Embeddings of tokens (each below the vocabulary: asserted): [tokens, hidden], the start of the residual stream.
  [[nodiscard]] at::Tensor embed(const std::vector<std::int32_t>& tokens) const;

  /// Runs layers [begin, end) on x [rows, hidden]. When `end` is the last layer, that layer computes queries, output
  /// projection and feed-forward for the output rows only and the result is [outputs, hidden], else [rows, hidden].
  /// `hook` may be null: the base alone. Differentiable in x and in what the hook adds; with Recompute::full, batch and
  /// hook must live until the backward pass is over.
  [[nodiscard]] at::Tensor run_layers(at::Tensor x, const PreparedBatch& batch, std::int64_t begin, std::int64_t end,
                                      const LinearHook* hook, Recompute recompute = Recompute::none) const;

  /// Final norm, in the products' type: the head's input.
  [[nodiscard]] at::Tensor final_norm(const at::Tensor& x) const;

  /// Output embedding [vocabulary, hidden].
  [[nodiscard]] const at::Tensor& head() const { return head_; }

 private:
  struct Layer {
    at::Tensor attention_norm, feed_forward_norm;  // [hidden], residual type
    FrozenLinear qkv, q, kv;                       // q and kv in the last layer, qkv in all others
    FrozenLinear o, gate_up, down;
  };

  // The residual stream, and what is still to be added to it (undefined: nothing).
  struct Stream {
    at::Tensor residual, pending;
  };
  [[nodiscard]] Stream run_layer(const at::Tensor& x, const at::Tensor& pending, const PreparedBatch& batch,
                                 std::int64_t index, const LinearHook* hook, Recompute recompute) const;
  [[nodiscard]] at::Tensor run_layer_twice(const at::Tensor& x, const PreparedBatch& batch, std::int64_t index,
                                           const LinearHook& hook) const;
  [[nodiscard]] FrozenLinear read_linear(const BaseFiles& files, WeightReader& reader, WeightMemory& memory,
                                         std::int64_t layer, LinearGroup group) const;

  ModelConfig config_;
  DecoderOptions options_;
  mutable RotationTable rotations_;  // grows with the positions met; a decoder is one thread's
  WeightScratchPtr scratch_;         // where compact linears are decoded
  at::Tensor embedding_;             // [vocabulary, hidden]
  at::Tensor head_;                  // the same tensor when tied
  at::Tensor final_norm_;
  std::vector<Layer> layers_;
};

}  // namespace chorale
