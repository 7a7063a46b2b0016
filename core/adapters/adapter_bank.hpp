// All adapters of this rank's members, stacked on a leading member axis in one flat buffer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/adapters/adapter_config.hpp"
#include "core/adapters/adapter_layout.hpp"
#include "core/adapters/lora_hook.hpp"
#include "core/model/linear_hook.hpp"

namespace chorale {

/// Which members a bank holds and how they start.
struct BankOptions {
  std::vector<std::uint32_t> members;  // global numbers, ascending
  std::uint64_t seed = 0;
  bool vary_initialisation = true;    // false: every member starts as member 0
  at::ScalarType dtype = at::kFloat;  // float32; float64 for gradient checks
  at::Device device = at::kCPU;
};

/// Parameters and gradients of the members' adapters: two buffers [members, parameters], row m one member, whose
/// columns AdapterLayout names. LoRA (arXiv 2106.09685): y = W x + scale * B A x, A drawn from U(-1/sqrt(in),
/// 1/sqrt(in)) (Kaiming uniform with a = sqrt(5), as PEFT starts it), B zero, so that at step 0 every member is the
/// base.
class AdapterBank {
 public:
  AdapterBank(const ModelConfig& model, const AdapterConfig& adapter, const BankOptions& options);

  [[nodiscard]] const AdapterLayout& layout() const { return layout_; }
  [[nodiscard]] const AdapterConfig& config() const { return config_; }
  [[nodiscard]] const std::vector<std::uint32_t>& members() const { return options_.members; }
  [[nodiscard]] std::int64_t member_count() const { return static_cast<std::int64_t>(options_.members.size()); }

  /// [members, parameters]; the buffer itself, never reallocated.
  [[nodiscard]] at::Tensor& parameters() { return parameters_; }
  [[nodiscard]] const at::Tensor& parameters() const { return parameters_; }
  /// [members, parameters]; the buffer itself, never reallocated.
  [[nodiscard]] at::Tensor& gradients() { return gradients_; }

  /// From now on the parameters are also there rounded to `type`, as products on a device read them: rounding them anew
  /// for every pass, and their gradients back, would move more memory than a step's low-rank products. Nothing happens
  /// when that is the parameters' own type.
  void keep_rounded(at::ScalarType type);
  /// [members, parameters]: the rounded parameters where they are kept, else the parameters.
  [[nodiscard]] const at::Tensor& read_by_products() const { return rounded_.defined() ? rounded_ : parameters_; }
  /// The rounded parameters, for who changes the parameters and rounds them himself; undefined where none are kept.
  [[nodiscard]] const at::Tensor& rounded() const { return rounded_; }
  /// They have been rounded.
  void rounded_anew();
  /// Rounds again if the parameters were changed by an operation of torch's since. Queues work, waits for nothing.
  void round_if_changed();

  /// Views into the parameters: A [rank, in] and B [out, rank] of a member (by position in members()) at a site.
  [[nodiscard]] at::Tensor a(std::int64_t member, const AdapterSite& site) const;
  [[nodiscard]] at::Tensor b(std::int64_t member, const AdapterSite& site) const;

  /// One pass through the adapters. `leaf` is parameters() or a differentiable stand-in of its shape; it is taken apart
  /// by one split, whose backward is one concatenation. `training` switches dropout on, with `step` in its key;
  /// `device_step` as DropoutKey has it.
  [[nodiscard]] std::unique_ptr<LoraHook> hook(const at::Tensor& leaf, bool training, std::uint64_t step,
                                               const at::Tensor& device_step = at::Tensor()) const;

  /// True for the columns of B factors: [parameters] bool, for decay that differs between A and B.
  [[nodiscard]] at::Tensor b_columns() const;

 private:
  AdapterConfig config_;
  AdapterLayout layout_;
  BankOptions options_;
  at::Tensor parameters_;
  at::Tensor gradients_;
  at::Tensor rounded_;
  std::uint32_t rounded_version_ = 0;
};

}  // namespace chorale
