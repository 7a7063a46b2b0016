// Frozen linears over compact weights: equal to the same linears over what the codes decode to.
#include "core/kernels/compact_weight.hpp"

#include <ATen/ops/_scaled_mm.h>

#include "core/kernels/adapted_linear.hpp"
#include "core/kernels/float8_product.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

constexpr std::array kFormats = {LinearFormat::nf4, LinearFormat::float8};

CompactWeightPtr compact(LinearFormat format, const at::Tensor& weight, at::ScalarType type,
                         const WeightScratchPtr& scratch = std::make_shared<WeightScratch>()) {
  return make_compact_weight(format, weight, {type, at::kCPU, scratch});
}

// Relative to the length of the whole.
double relative_error(const at::Tensor& got, const at::Tensor& expected) {
  return (got.to(at::kDouble) - expected).norm().item<double>() / expected.norm().item<double>();
}

}  // namespace

TEST_CASE("a compact linear and its gradient equal those of the decoded weight") {
  const at::Tensor weight = random_tensor({40, 150}, 1, at::kFloat);
  const at::Tensor bias = random_tensor({40}, 2);
  const at::Tensor x = random_tensor({7, 150}, 3);
  const at::Tensor dy = random_tensor({7, 40}, 4);
  for (const LinearFormat format : kFormats) {
    for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
      const FrozenLinear linear(compact(format, weight, type), bias.to(type));
      const at::Tensor decoded = linear.weight();
      CHECK(decoded.scalar_type() == type);
      const at::Tensor exact = decoded.to(at::kDouble);
      const double tolerance = type == at::kDouble ? 1e-14 : type == at::kFloat ? 1e-6 : 1e-2;
      const at::Tensor point = x.to(type);
      CHECK(relative_error(linear.forward(point), at::addmm(bias, x, exact.t())) < tolerance);
      const auto forward = [&](const at::Tensor& input) { return linear.forward(input); };
      CHECK(relative_error(autograd_gradient(forward, point, dy.to(type)), at::mm(dy, exact)) < tolerance);
    }
  }
}

TEST_CASE("rounding to eight and to four bits loses what it must and no more") {
  const at::Tensor weight = random_tensor({64, 256}, 5, at::kFloat);
  // Evenly spread values: eight bits round each by up to 1/16 of itself, four bits by up to half a gap between levels.
  CHECK(relative_error(compact(LinearFormat::float8, weight, at::kFloat)->decoded(), weight.to(at::kDouble)) < 0.03);
  const double nf4 = relative_error(compact(LinearFormat::nf4, weight, at::kFloat)->decoded(), weight.to(at::kDouble));
  CHECK(nf4 > 0.03);
  CHECK(nf4 < 0.11);
}

TEST_CASE("compact weights take the memory they promise") {
  const at::Tensor weight = random_tensor({48, 256}, 6, at::kFloat);
  CHECK(compact(LinearFormat::nf4, weight, at::kFloat)->bytes() == 48 * 256 / 2 + 48 * 4 * 4);
  CHECK(compact(LinearFormat::float8, weight, at::kFloat)->bytes() == 48 * 256 + 48 * 4);
  for (const LinearFormat format : kFormats) {
    for (const std::int64_t width : {1, 64, 65, 256}) {
      const at::Tensor part = weight.narrow(1, 0, width).contiguous();
      CHECK(compact(format, part, at::kFloat)->bytes() == 48 * compact_row_bytes(format, width));
    }
  }
}

TEST_CASE("linears of different sizes and types share one scratch buffer") {
  const auto scratch = std::make_shared<WeightScratch>();
  const at::Tensor large = random_tensor({90, 130}, 7, at::kFloat);
  const at::Tensor small = random_tensor({10, 20}, 8, at::kFloat);
  const FrozenLinear first(compact(LinearFormat::nf4, small, at::kDouble, scratch));
  const FrozenLinear second(compact(LinearFormat::float8, large, at::kFloat, scratch));
  const at::Tensor x = random_tensor({3, 20}, 9);
  const at::Tensor before = first.product(x);
  CHECK(difference(second.product(random_tensor({3, 130}, 10, at::kFloat)),
                   at::mm(random_tensor({3, 130}, 10), second.weight().to(at::kDouble).t())) < 1e-5);
  CHECK(same_bits(first.product(x), before));
}

TEST_CASE("adapters over a compact base get the gradients they get over the decoded one") {
  for (const LinearFormat format : kFormats) {
    const CompactWeightPtr weight = compact(format, random_tensor({11, 70}, 31, at::kFloat), at::kDouble);
    auto term = c10::make_intrusive<LowRankTerm>();
    term->frozen = FrozenLinear(weight);
    term->stream_offsets = {0, 4, 7};
    term->columns = {{0, 5, 3}, {7, 4, 4}};
    term->rank = 2;
    term->scale = 1.7;
    auto dense = c10::make_intrusive<LowRankTerm>(*term);
    dense->frozen = FrozenLinear(weight->decoded());
    const at::Tensor x = random_tensor({7, 70}, 32);
    const at::Tensor a = random_tensor({2, 4, 70}, 33);
    const at::Tensor b = random_tensor({2, 9, 2}, 34);
    const at::Tensor dy = random_tensor({7, 11}, 35);
    for (int which = 0; which < 3; ++which) {
      const auto through = [&](const LowRankTermPtr& over) {
        const auto f = [&](const at::Tensor& p) {
          return adapted_linear(which == 0 ? p : x, which == 1 ? p : a, which == 2 ? p : b, over);
        };
        return autograd_gradient(f, which == 0 ? x : which == 1 ? a : b, dy);
      };
      CHECK(same_bits(through(term), through(dense)));
    }
  }
}

TEST_CASE("products of eight-bit floats stay close to the exact ones, forward and backward") {
  const at::Tensor weight = random_tensor({96, 160}, 41) * at::exp(random_tensor({96, 1}, 42) * 3.0);
  const Float8Rows coded = float8_rows(weight.to(at::kFloat));
  const at::Tensor x = random_tensor({50, 160}, 43).to(at::kBFloat16);
  const at::Tensor dy = (random_tensor({50, 96}, 44) * at::exp(random_tensor({50, 1}, 45) * 9.0)).to(at::kBFloat16);
  const at::Tensor bias = random_tensor({96}, 46);
  const at::Tensor wide = coded.codes.to(at::kDouble) * coded.scales;
  // The weight's codes are exact here; only the other factor is rounded, each value by up to 1/16 of itself.
  const at::Tensor y = at::addmm(bias, x.to(at::kDouble), wide.t());
  CHECK(relative_error(float8_product_plain(x, coded.codes, coded.scales, bias), y) < 0.04);
  const at::Tensor dx = at::mm(dy.to(at::kDouble), wide);
  const at::Tensor got = float8_input_gradient_plain(dy, coded.codes, coded.scales);
  CHECK(relative_error(got, dx) < 0.04);
  // Small rows are as exact as large ones: each has its own scale.
  const at::Tensor by_row = (got - dx).norm(2, {1}) / dx.norm(2, {1});
  CHECK(by_row.max().item<double>() < 0.06);
}

TEST_CASE("numbers that eight bits can hold are multiplied without error, the scales folded in either way") {
  // Powers of two times small integers, with the row's largest such that 448 is exact: scales are powers of two.
  at::Tensor weight = random_tensor({32, 48}, 51).mul(7).round();
  weight.select(1, 0).fill_(7.0);
  weight = weight * at::pow(2.0, at::arange(32).remainder(5).to(at::kDouble)).unsqueeze(1);
  at::Tensor x = random_tensor({6, 48}, 52).mul(7).round();
  x.select(1, 0).fill_(-7.0);
  const Float8Rows coded = float8_rows(weight.to(at::kFloat));
  CHECK(same_bits(coded.codes.to(at::kDouble) * coded.scales, weight));
  CHECK(same_bits(float8_product_plain(x, coded.codes, coded.scales, at::Tensor()), at::mm(x, weight.t())));
  // dy times the channels' scales is exact as well when dy undoes their spread.
  at::Tensor dy = random_tensor({6, 32}, 53).mul(7).round();
  dy.select(1, 0).fill_(7.0);
  dy = dy / at::pow(2.0, at::arange(32).remainder(5).to(at::kDouble)).unsqueeze(0);
  CHECK(same_bits(float8_input_gradient_plain(dy, coded.codes, coded.scales), at::mm(dy, weight)));
}

TEST_CASE("torch's product of eight-bit floats reads the operands as the twin does") {
  // On the CPU it takes one scale for a whole matrix only; the rows' scales are multiplied in afterwards.
  const Float8Rows weight = float8_rows(random_tensor({32, 48}, 61, at::kFloat));
  const Float8Rows rows = float8_rows(random_tensor({5, 48}, 62, at::kFloat));
  const at::Tensor one = at::ones({}, at::kFloat);
  const at::Tensor product = at::_scaled_mm(rows.codes, weight.codes.t(), one, one, {}, {}, at::kFloat);
  const at::Tensor x = rows.codes.to(at::kFloat) * rows.scales;
  CHECK(relative_error(product * rows.scales * weight.scales.t(),
                       float8_product_plain(x, weight.codes, weight.scales, at::Tensor())) < 1e-5);
}
