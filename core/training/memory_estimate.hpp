// How much of a batch fits into memory at once.
#pragma once

#include <cstdint>

#include "core/adapters/adapter_layout.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/model/decoder.hpp"
#include "core/training/pass_plan.hpp"
#include "core/training/training_config.hpp"

namespace chorale {

/// Bytes one row (token) of one member keeps alive between the forward and the backward pass. With Recompute::full that
/// is the layers' inputs and the one layer that runs again. element_bytes: of what the products read and give; the
/// residual stream has at least four.
[[nodiscard]] std::uint64_t activation_bytes_per_row(const ModelConfig& model, const AdapterLayout& layout,
                                                     std::uint64_t element_bytes, Recompute recompute);

/// Bytes of the frozen weights in memory: norms stay in float32, and so do linears in bfloat16 that a CPU multiplies in
/// float32; of a compact base the layers' linears take what their
/// codes take, with room to decode the largest of them, and the rest what it is multiplied in (on_gpu: bfloat16).
[[nodiscard]] std::uint64_t base_bytes(const ModelConfig& model, BaseDtype dtype, bool on_gpu);

/// The same in training with the lowest adapter in `lowest_layer`: where weights are laid out for the forward pass,
/// they are once more for the backward pass, in all layers above (kernels/frozen_linear.hpp).
[[nodiscard]] std::uint64_t training_base_bytes(const ModelConfig& model, BaseDtype dtype, bool on_gpu,
                                                std::int64_t lowest_layer);

/// Of an activation: two on a GPU but for float32 bases, else four (a CPU has bfloat16 for its products alone).
[[nodiscard]] std::uint64_t activation_element_bytes(BaseDtype dtype, bool on_gpu);

/// Bytes that activations may take of a process's `memory` (0: unknown, and so is the answer): a quarter on a CPU,
/// where other things live too; on a GPU nine tenths less what is `taken` by base, adapters and kept hidden states, but
/// an eighth at least.
[[nodiscard]] std::uint64_t activation_budget(std::uint64_t memory, bool on_gpu, std::uint64_t taken);

/// Bytes that a second copy of weights may take while members are predicted with merged adapters: half of what
/// activations may.
[[nodiscard]] std::uint64_t merge_budget(std::uint64_t activations);

/// Bytes of one member's adapter in training: parameters, gradients and two moments, and with early stopping its best
/// state so far.
[[nodiscard]] std::uint64_t adapter_bytes(std::int64_t parameters, bool early_stopping);

/// Bytes that hidden states of the frozen layers may be kept in (training.prefix_cache), of a process that may use
/// `memory` bytes.
[[nodiscard]] std::uint64_t prefix_budget(const TrainingConfig& training, std::uint64_t memory);

/// Physical memory of this machine in bytes (0 when unknown), or what the process' control group may use of it, where
/// that is less (containers, Slurm jobs).
[[nodiscard]] std::uint64_t physical_memory();

/// Passes over `examples` of each member's batch whose activations take at most `budget` bytes (0: no limit) when each
/// row takes `row_bytes` and all examples are as long as the set's longest.
[[nodiscard]] PassSize automatic_pass_size(std::int64_t members, std::int64_t examples, std::int64_t longest,
                                           std::uint64_t row_bytes, std::uint64_t budget);

}  // namespace chorale
