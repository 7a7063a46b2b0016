// Random tensors by meaning, comparisons, and gradients by finite differences.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "core/base/random.hpp"

namespace chorale::test {

/// Uniform in [-1, 1), the same for the same `number`.
inline at::Tensor random_tensor(at::IntArrayRef shape, std::uint64_t number, at::ScalarType type = at::kDouble) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  const std::span<float> values(tensor.mutable_data_ptr<float>(), static_cast<std::size_t>(tensor.numel()));
  RandomStream(3, 0, Purpose::test, number).fill_uniform(values, -1.0F, 1.0F);
  return tensor.to(type);
}

/// Largest absolute difference; infinite when either holds a NaN or the shapes differ.
inline double difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  if (a.numel() == 0) return 0.0;
  const double value = (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
  return std::isnan(value) ? std::numeric_limits<double>::infinity() : value;
}

inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return at::equal(a, b);
}

/// Gradient of sum(weights * f(x)) by autograd.
inline at::Tensor autograd_gradient(const std::function<at::Tensor(const at::Tensor&)>& f, const at::Tensor& x,
                                    const at::Tensor& weights) {
  const at::Tensor leaf = x.detach().clone().requires_grad_(true);
  const at::Tensor y = (f(leaf) * weights).sum();
  return torch::autograd::grad({y}, {leaf})[0];
}

/// The same by central differences, float64 only; error O(step^2).
inline at::Tensor numeric_gradient(const std::function<at::Tensor(const at::Tensor&)>& f, const at::Tensor& x,
                                   const at::Tensor& weights, double step = 1e-5) {
  at::Tensor probe = x.detach().clone().contiguous();
  at::Tensor gradient = at::zeros_like(probe);
  auto* values = probe.mutable_data_ptr<double>();
  auto* out = gradient.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < probe.numel(); ++i) {
    const double here = values[i];
    values[i] = here + step;
    const double above = (f(probe) * weights).sum().item<double>();
    values[i] = here - step;
    const double below = (f(probe) * weights).sum().item<double>();
    values[i] = here;
    out[i] = (above - below) / (2.0 * step);
  }
  return gradient;
}

}  // namespace chorale::test
