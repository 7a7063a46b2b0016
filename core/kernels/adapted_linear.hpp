// A frozen product for all members together, plus each member's own low-rank update.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <vector>

#include "core/kernels/dropout.hpp"
#include "core/kernels/frozen_linear.hpp"
#include "core/kernels/input_origin.hpp"

namespace chorale {

/// One adapted linear inside a (possibly fused) frozen product: which output columns it adds to.
struct AdaptedColumns {
  std::int64_t begin = 0;
  std::int64_t count = 0;
  std::uint32_t site = 0;  // for the dropout key
};

/// Where the adapters' gradients of an application go when they do not go back through autograd: they would be written,
/// concatenated with all others and added up, each time through all of the memory they take.
struct LowRankGradients {
  at::Tensor a, b;                  // shaped as the adapters' factors, of their type
  bool add = false;                 // to what stands there; false: it is overwritten
  std::int64_t* written = nullptr;  // counts applications whose gradients have been written
};

/// What stays the same between the forward and the backward pass of one application.
struct LowRankTerm : torch::CustomClassHolder {
  FrozenLinear frozen;
  std::vector<std::int64_t> stream_offsets;  // [members + 1] rows of x
  std::vector<AdaptedColumns> columns;       // adapted linears that share the input x
  std::int64_t rank = 0;
  double scale = 1.0;
  double dropout = 0.0;
  DropoutKey dropout_key;               // used when dropout > 0
  std::vector<std::uint64_t> row_keys;  // [rows], used when dropout > 0
  at::Tensor anchor;                    // with `gradients`: what the result is differentiable in besides x
  LowRankGradients gradients;           // undefined: back through autograd
};
using LowRankTermPtr = c10::intrusive_ptr<LowRankTerm>;

/// y[rows of member m] = x W^T + scale * (dropout(x) A_m^T) B_m^T for each adapted linear, in its own columns.
///
/// x: [rows, in]; a: [members, linears*rank, in]; b: [members, sum of the linears' outputs, rank], the linears' factors
/// one below the other in the order of `term->columns`. Differentiable in x, a and b; the frozen weight gets no
/// gradient, and the factors none where it goes to `term->gradients`; then `anchor`, a tensor of any shape that
/// requires gradients and gets none, keeps the graph together. Saves x (or, where its origin is given, what x is made
/// from) and the rank-sized product only; dropout masks are drawn again in the backward pass.
[[nodiscard]] at::Tensor adapted_linear(const at::Tensor& x, const at::Tensor& a, const at::Tensor& b,
                                        const LowRankTermPtr& term, const InputOrigin& origin = {});

/// The plain twin: a loop over members and linears written with differentiable torch operations.
[[nodiscard]] at::Tensor adapted_linear_plain(const at::Tensor& x, const at::Tensor& a, const at::Tensor& b,
                                              const LowRankTermPtr& term);

}  // namespace chorale
