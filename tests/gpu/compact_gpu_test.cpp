// Compact weights on the GPU: the same values as on the CPU, and products of eight-bit floats against their plain
// twins.
#include "core/kernels/compact_weight.hpp"
#include "core/kernels/float8_product.hpp"
#include "core/kernels/frozen_linear.hpp"
#include "gpu/gpu_world.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

CompactWeightPtr compact(LinearFormat format, const at::Tensor& weight, at::ScalarType type, at::Device device) {
  return make_compact_weight(format, weight, {type, device, std::make_shared<WeightScratch>()});
}

double relative_error(const at::Tensor& got, const at::Tensor& expected) {
  return (got.to(at::kCPU).to(at::kDouble) - expected.to(at::kCPU)).norm().item<double>() /
         expected.norm().item<double>();
}

}  // namespace

TEST_CASE("compact weights decode to the same values on the GPU") {
  if (!has_gpus()) return;
  const at::Tensor weight = random_tensor({48, 150}, 1, at::kFloat);
  for (const LinearFormat format : {LinearFormat::nf4, LinearFormat::float8}) {
    const at::Tensor expected = compact(format, weight, at::kFloat, at::kCPU)->decoded();
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      CHECK(same_bits(compact(format, weight, type, gpu())->decoded().to(at::kCPU), expected.to(type)));
    }
  }
}

TEST_CASE("linears over compact weights and their gradients on the GPU equal the decoded weight's") {
  if (!has_gpus()) return;
  for (const LinearFormat format : {LinearFormat::nf4, LinearFormat::float8}) {
    const CompactWeightPtr weight = compact(format, random_tensor({48, 150}, 1, at::kFloat), at::kFloat, gpu());
    const FrozenLinear linear(weight, random_tensor({48}, 2, at::kFloat).to(gpu()));
    const at::Tensor x = random_tensor({7, 150}, 3);
    const at::Tensor wide = weight->decoded().to(at::kCPU).to(at::kDouble);
    CHECK(relative_error(linear.forward(x.to(at::kFloat).to(gpu())), at::addmm(random_tensor({48}, 2), x, wide.t())) <
          1e-5);
    const at::Tensor dy = random_tensor({7, 48}, 4);
    CHECK(relative_error(linear.input_gradient(dy.to(at::kFloat).to(gpu())), at::mm(dy, wide)) < 1e-5);
  }
}

TEST_CASE("products of eight-bit floats on the GPU equal their plain twins") {
  if (!has_gpus()) return;
  if (!float8_products_on(gpu())) {
    WARN("this GPU does not multiply eight-bit floats: not tested");
    return;
  }
  const Float8Rows weight = float8_rows(random_tensor({320, 176}, 11, at::kFloat));
  const at::Tensor codes = weight.codes.to(gpu());
  const at::Tensor scales = weight.scales.to(gpu());
  const at::Tensor bias = random_tensor({320}, 12).to(at::kBFloat16);
  // Row counts of every kind: one, odd, beyond a tile, a multiple of it.
  for (const std::int64_t rows : {1, 3, 77, 130, 512, 1000}) {
    const at::Tensor x =
        (random_tensor({rows, 176}, 13) * at::exp(random_tensor({rows, 1}, 14) * 4.0)).to(at::kBFloat16);
    const at::Tensor y = float8_product(x.to(gpu()), codes, scales, bias.to(gpu()));
    // What is left is the rounding of the result to bfloat16, and of bias and sum.
    CHECK(relative_error(y, float8_product_plain(x, weight.codes, weight.scales, bias)) < 4e-3);
    const at::Tensor dy = random_tensor({rows, 320}, 15).to(at::kBFloat16);
    CHECK(relative_error(float8_input_gradient(dy.to(gpu()), codes, scales),
                         float8_input_gradient_plain(dy, weight.codes, weight.scales)) < 4e-3);
  }
}

TEST_CASE("a row of eight-bit products does not depend on the rows beside it") {
  if (!has_gpus() || !float8_products_on(gpu())) return;
  const CompactWeightPtr weight =
      compact(LinearFormat::float8, random_tensor({64, 96}, 21, at::kFloat), at::kBFloat16, gpu());
  const at::Tensor x = random_tensor({40, 96}, 22).to(at::kBFloat16).to(gpu());
  at::Tensor other = x.clone();
  other.narrow(0, 20, 20).mul_(1000.0);
  CHECK(same_bits(weight->product(x, {}).narrow(0, 0, 20), weight->product(other, {}).narrow(0, 0, 20)));
}
