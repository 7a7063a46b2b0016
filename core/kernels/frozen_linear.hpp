// A linear layer that is never trained.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/kernels/compact_weight.hpp"
#include "core/kernels/low_rank_pass.hpp"
#include "core/kernels/panel_matrix.hpp"
#include "core/kernels/weight_memory.hpp"

namespace chorale {

/// y = x W^T (+ bias), with W [out, in] frozen: its only derivative is that of the input.
///
/// A weight that never changes can be laid out once in the order the matrix product reads it, and a second time,
/// transposed, when the first gradient asks for it. On the CPU in float32 that is our own panels where the machine has
/// AVX-512 (panel_product.hpp), which take the members' low-rank products along, and oneDNN's blocks elsewhere. In
/// bfloat16 it is oneDNN's where the CPU has instructions for it (AVX512_BF16), and float32 with the same rounded
/// weights where it has not. Other types and devices use torch's plain product.
/// A weight held in fewer bits (compact_weight.hpp) is decoded for each product.
///
/// Our own panels, both layouts, and compact weights can lie in memory that the processes of a machine share
/// (weight_memory.hpp); oneDNN keeps its blocks to itself.
class FrozenLinear {
 public:
  FrozenLinear() = default;
  explicit FrozenLinear(at::Tensor weight, at::Tensor bias = at::Tensor());
  /// The same with a weight that is read only if it has to be, and laid out in `memory`. Where copies().
  FrozenLinear(const WeightSource& weight, at::ScalarType type, at::Tensor bias, WeightMemory& memory);
  /// Whether a weight of this kind is laid out anew, so that the one given may change afterwards.
  [[nodiscard]] static bool copies(at::Device device, at::ScalarType type);
  /// The type in which a weight of the given type is kept and multiplied there.
  [[nodiscard]] static at::ScalarType kept_type(at::Device device, at::ScalarType type);
  /// Whether that is a layout which processes can share.
  [[nodiscard]] static bool shares(at::Device device, at::ScalarType type);
  explicit FrozenLinear(CompactWeightPtr weight, at::Tensor bias = at::Tensor());

  /// x: [rows, in] of the weight's type -> [rows, out]. Differentiable in x. On the CPU x may be float32 whatever the
  /// weight's type: it is rounded for the product, and the result comes back in float32.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) const;
  /// The same without recording anything: for use inside hand-written forward passes. With a `pass` also its low-rank
  /// products, from x and into the result.
  [[nodiscard]] at::Tensor product(const at::Tensor& x, LowRankPass* pass = nullptr) const;
  /// dy: [rows, out] -> dy W [rows, in], and the low-rank products of a `pass` from dy and into the result. Not
  /// differentiable: for use inside hand-written backward passes.
  [[nodiscard]] at::Tensor input_gradient(const at::Tensor& dy, LowRankPass* pass = nullptr) const;

  /// Whether a `pass` runs over rows that the frozen product has in the caches, rather than after it.
  [[nodiscard]] static bool takes_passes_along(at::Device device, at::ScalarType type);

  /// The weight in its plain layout (a copy where it is kept in another).
  [[nodiscard]] at::Tensor weight() const;
  /// The same as a tensor of the caller's own.
  [[nodiscard]] at::Tensor weight_copy() const;
  /// [out], or undefined.
  [[nodiscard]] const at::Tensor& bias() const { return bias_; }

 private:
  // One of the two layouts; the transposed one is made at first use.
  struct Packed {
    at::Tensor weight, transposed;  // oneDNN's
    PanelMatrix panels;             // ours
    LateTensor transposed_panels;   // of their transpose
  };
  [[nodiscard]] at::Tensor plain_product(const at::Tensor& x) const;
  [[nodiscard]] at::Tensor plain_input_gradient(const at::Tensor& dy) const;
  void lay_out(const WeightSource& weight, at::ScalarType type, WeightMemory& memory);

  at::Tensor weight_;  // plain; undefined when packed or compact
  at::Tensor bias_;    // [out] or undefined
  std::shared_ptr<Packed> packed_;
  CompactWeightPtr compact_;
};

}  // namespace chorale
