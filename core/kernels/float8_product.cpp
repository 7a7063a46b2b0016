#include "core/kernels/float8_product.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_scaled_mm.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/headeronly/version.h>

#include <map>
#include <mutex>

#include "core/kernels/float8.hpp"

namespace chorale {
namespace {

// _scaled_mm is no public operation: its arguments and the shapes of its scales have changed between versions.
static_assert(TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 11,
              "read _scaled_mm's rules again for this version of torch, then run tests/gpu/run");

// a: [rows, n] codes, b: [columns, n] codes -> (a b^T) * a_scales * b_scales, bfloat16. Sums are kept in float32
// throughout (no fast accumulation): the rounding of the inputs is error enough.
at::Tensor scaled_product(const Float8Rows& a, const at::Tensor& b, const at::Tensor& b_scales) {
  return at::_scaled_mm(a.codes, b.t(), a.scales, b_scales.view({1, -1}), /*bias=*/{}, /*scale_result=*/{},
                        at::kBFloat16, /*use_fast_accum=*/false);
}

bool try_product(at::Device device) {
  const at::NoGradGuard no_gradients;
  const at::TensorOptions options = at::TensorOptions().dtype(at::kBFloat16).device(device);
  try {
    const at::Tensor weight = at::ones({16, 32}, options);
    const Float8Rows rows = float8_rows(weight);
    const at::Tensor y = float8_product(at::ones({3, 32}, options), rows.codes, rows.scales, at::Tensor());
    return y.eq(32).all().item<bool>();
  } catch (const c10::Error&) {
    return false;  // an older GPU, or a driver or build without it
  }
}

at::Tensor decoded(const Float8Rows& rows) {
  return rows.codes.to(at::kDouble) * rows.scales.to(at::kDouble);
}

}  // namespace

Float8Rows float8_rows(const at::Tensor& x) {
  const at::Tensor largest = x.abs().amax({1}, /*keepdim=*/true).to(at::kFloat);
  const at::Tensor scales = at::where(largest.eq(0), at::ones({}, largest.options()), largest / kFloat8Largest);
  return {(x / scales).clamp_(-kFloat8Largest, kFloat8Largest).to(at::kFloat8_e4m3fn), scales};
}

bool float8_products_on(at::Device device) {
  if (!device.is_cuda()) return false;
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, bool> known;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = known.find(device.index());
  if (found != known.end()) return found->second;
  return known[device.index()] = try_product(device);
}

bool float8_product_takes(std::int64_t out, std::int64_t in) {
  return out % 16 == 0 && in % 16 == 0;
}

at::Tensor float8_product(const at::Tensor& x, const at::Tensor& codes, const at::Tensor& scales,
                          const at::Tensor& bias) {
  at::Tensor y = scaled_product(float8_rows(x), codes, scales);
  if (bias.defined()) y.add_(bias);
  return y;
}

at::Tensor float8_input_gradient(const at::Tensor& dy, const at::Tensor& codes, const at::Tensor& scales) {
  const Float8Rows g = float8_rows(dy * scales.view({1, -1}));
  return scaled_product(g, codes.t().contiguous(), at::ones({codes.size(1)}, scales.options()));
}

at::Tensor float8_product_plain(const at::Tensor& x, const at::Tensor& codes, const at::Tensor& scales,
                                const at::Tensor& bias) {
  const at::Tensor y = at::mm(decoded(float8_rows(x)), decoded({codes, scales}).t());
  return bias.defined() ? y + bias.to(at::kDouble) : y;
}

at::Tensor float8_input_gradient_plain(const at::Tensor& dy, const at::Tensor& codes, const at::Tensor& scales) {
  return at::mm(decoded(float8_rows(dy * scales.view({1, -1}))), codes.to(at::kDouble));
}

}  // namespace chorale
