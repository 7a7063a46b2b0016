// RMS norm and SwiGLU: the fused kernels against their plain twins and against finite differences.
#include <cmath>
#include <limits>

#include "core/kernels/rms_norm.hpp"
#include "core/kernels/simd.hpp"
#include "core/kernels/swiglu.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

TEST_CASE("the vectorised exponential is e^x to float32 rounding") {
  double worst = 0.0;
  for (double x = -86.0; x <= 88.0; x += 0.0137) {
    const auto argument = static_cast<float>(x);
    const double exact = std::exp(static_cast<double>(argument));
    worst = std::max(worst, std::abs(static_cast<double>(simd::exponential(argument)) - exact) / exact);
  }
  CHECK(worst < 3e-7);
  CHECK(simd::exponential(0.0F) == 1.0F);
  CHECK(simd::exponential(-1000.0F) < 2e-38F);
  CHECK(std::isfinite(simd::exponential(1000.0F)));
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  CHECK(simd::exponential(-kInfinity) == simd::exponential(-87.0F));
  CHECK(simd::exponential(kInfinity) == simd::exponential(88.0F));
  for (const float sign : {1.0F, -1.0F}) {
    CHECK(std::isnan(simd::exponential(std::copysign(std::numeric_limits<float>::quiet_NaN(), sign))));
  }
}

TEST_CASE("the fused RMS norm equals the plain one") {
  for (const std::int64_t hidden : {1, 7, 24, 576}) {
    const at::Tensor x = random_tensor({33, hidden}, 1) * 3.0;
    const at::Tensor weight = random_tensor({hidden}, 2);
    CHECK(difference(rms_norm(x, weight, 1e-5, at::kDouble), rms_norm_plain(x, weight, 1e-5, at::kDouble)) < 1e-13);
    const at::Tensor x32 = x.to(at::kFloat);
    const at::Tensor weight32 = weight.to(at::kFloat);
    CHECK(difference(rms_norm(x32, weight32, 1e-5, at::kFloat), rms_norm_plain(x, weight, 1e-5, at::kDouble)) < 2e-6);
  }
}

TEST_CASE("the fused RMS norm's gradient equals finite differences") {
  const at::Tensor x = random_tensor({3, 10}, 3);
  const at::Tensor weight = random_tensor({10}, 4);
  const at::Tensor upstream = random_tensor({3, 10}, 5);
  const auto f = [&](const at::Tensor& input) { return rms_norm(input, weight, 1e-5, at::kDouble); };
  CHECK(difference(autograd_gradient(f, x, upstream), numeric_gradient(f, x, upstream)) < 1e-8);
}

TEST_CASE("the norm with the addition before it equals the plain one, gradients of either result too") {
  const at::Tensor weight = random_tensor({19}, 11);
  const at::Tensor x = random_tensor({5, 19}, 12);
  const at::Tensor delta = random_tensor({5, 19}, 13);
  const ResidualNorm exact = add_rms_norm_plain(x, delta, weight, 1e-5, at::kDouble);
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    const ResidualNorm fused = add_rms_norm(x.to(type), delta.to(type), weight.to(type), 1e-5, type);
    CHECK(difference(fused.residual, exact.residual) < (type == at::kFloat ? 1e-6 : 1e-15));
    CHECK(difference(fused.normed, exact.normed) < (type == at::kFloat ? 2e-6 : 1e-13));
  }
  const at::Tensor upstream = random_tensor({5, 38}, 14);
  // Whichever of the two results is used.
  for (const bool with_norm : {true, false}) {
    for (const bool with_sum : {true, false}) {
      if (!with_norm && !with_sum) continue;
      const auto together = [&](const ResidualNorm& both) {
        const at::Tensor none = at::zeros_like(x);
        return at::cat({with_norm ? both.normed : none, with_sum ? both.residual : none}, 1);
      };
      const auto of_x = [&](const at::Tensor& in) {
        return together(add_rms_norm(in, delta, weight, 1e-5, at::kDouble));
      };
      const auto of_delta = [&](const at::Tensor& in) {
        return together(add_rms_norm(x, in, weight, 1e-5, at::kDouble));
      };
      CHECK(difference(autograd_gradient(of_x, x, upstream), numeric_gradient(of_x, x, upstream)) < 1e-8);
      CHECK(difference(autograd_gradient(of_delta, delta, upstream), numeric_gradient(of_delta, delta, upstream)) <
            1e-8);
    }
  }
}

TEST_CASE("a bfloat16 result is the float32 one rounded once") {
  const at::Tensor x = random_tensor({5, 24}, 6, at::kFloat);
  const at::Tensor weight = random_tensor({24}, 7, at::kFloat);
  const at::Tensor rounded = rms_norm_plain(x, weight, 1e-5, at::kFloat).to(at::kBFloat16);
  CHECK(same_bits(rms_norm(x, weight, 1e-5, at::kBFloat16), rounded));
}

TEST_CASE("the fused SwiGLU equals the plain one, gradients too") {
  const at::Tensor x = random_tensor({9, 26}, 8) * 6.0;
  CHECK(difference(swiglu(x), swiglu_plain(x)) < 1e-13);
  CHECK(difference(swiglu(x.to(at::kFloat)), swiglu_plain(x)) < 2e-5);
  const at::Tensor upstream = random_tensor({9, 13}, 9);
  const auto f = [](const at::Tensor& input) { return swiglu(input); };
  CHECK(difference(autograd_gradient(f, x, upstream), numeric_gradient(f, x, upstream)) < 1e-8);
}

TEST_CASE("SwiGLU's gradient may stand where its input stood") {
  for (const std::int64_t width : {13, 32, 50}) {  // in whole vectors, and not
    const at::Tensor leaf = (random_tensor({9, 2 * width}, 11, at::kFloat) * 6.0).requires_grad_(true);
    const at::Tensor upstream = random_tensor({9, width}, 12, at::kFloat);
    const auto gradient = [&](bool may_overwrite) {
      return torch::autograd::grad({swiglu(leaf * 1.0, may_overwrite)}, {leaf}, {upstream})[0];
    };
    const auto plain = [](const at::Tensor& x) { return swiglu_plain(x); };
    CHECK(same_bits(gradient(true), gradient(false)));
    CHECK(difference(gradient(true), autograd_gradient(plain, leaf.detach().to(at::kDouble), upstream)) < 2e-5);
  }
}

TEST_CASE("SwiGLU saturates instead of overflowing") {
  const at::Tensor x = at::tensor({-1e4F, 1e4F, 1.0F, 1.0F}).view({1, 4});
  const at::Tensor y = swiglu(x);
  CHECK(std::abs(y[0][0].item<float>()) < 1e-3F);
  CHECK(y[0][1].item<float>() == Approx(1e4F));
}
