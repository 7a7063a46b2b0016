// The fused frozen-plus-low-rank product against a plain loop over members and against finite differences.
#include "core/kernels/adapted_linear.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

constexpr std::int64_t kIn = 6;
constexpr std::int64_t kOut = 11;

// Three members of 4, 0 and 3 rows; two adapted linears at columns 0-4 and 7-10, nothing in between.
LowRankTermPtr term_of(double dropout, at::ScalarType type = at::kDouble) {
  auto term = c10::make_intrusive<LowRankTerm>();
  term->frozen = FrozenLinear(random_tensor({kOut, kIn}, 31, type));
  term->stream_offsets = {0, 4, 4, 7};
  term->columns = {{0, 5, 3}, {7, 4, 4}};
  term->rank = 2;
  term->scale = 1.7;
  term->dropout = dropout;
  term->dropout_key = {5, 2, 0, {0, 1, 2}};
  term->row_keys = {10, 11, 12, 13, 20, 21, 22};
  return term;
}

const at::Tensor kX = random_tensor({7, kIn}, 32);
const at::Tensor kA = random_tensor({3, 4, kIn}, 33);
const at::Tensor kB = random_tensor({3, 9, 2}, 34);

}  // namespace

TEST_CASE("the fused product equals the loop over members, with and without dropout") {
  for (const double dropout : {0.0, 0.4}) {
    const auto term = term_of(dropout);
    CHECK(difference(adapted_linear(kX, kA, kB, term), adapted_linear_plain(kX, kA, kB, term)) < 1e-14);
    const at::Tensor fp32 =
        adapted_linear(kX.to(at::kFloat), kA.to(at::kFloat), kB.to(at::kFloat), term_of(dropout, at::kFloat));
    CHECK(difference(fp32, adapted_linear_plain(kX, kA, kB, term)) < 3e-6);
  }
}

TEST_CASE("its gradients equal the twin's and finite differences") {
  const at::Tensor upstream = random_tensor({7, kOut}, 35);
  for (const double dropout : {0.0, 0.4}) {
    const auto term = term_of(dropout);
    const auto check = [&](const at::Tensor& at_point, const auto& fused, const auto& plain) {
      const at::Tensor gradient = autograd_gradient(fused, at_point, upstream);
      CHECK(difference(gradient, autograd_gradient(plain, at_point, upstream)) < 1e-13);
      CHECK(difference(gradient, numeric_gradient(fused, at_point, upstream)) < 1e-8);
    };
    check(
        kX, [&](const at::Tensor& x) { return adapted_linear(x, kA, kB, term); },
        [&](const at::Tensor& x) { return adapted_linear_plain(x, kA, kB, term); });
    check(
        kA, [&](const at::Tensor& a) { return adapted_linear(kX, a, kB, term); },
        [&](const at::Tensor& a) { return adapted_linear_plain(kX, a, kB, term); });
    check(
        kB, [&](const at::Tensor& b) { return adapted_linear(kX, kA, b, term); },
        [&](const at::Tensor& b) { return adapted_linear_plain(kX, kA, b, term); });
  }
}

TEST_CASE("float32 gradients at a layer's sizes equal the float64 twin's, for every rank, with and without dropout") {
  // q, k and v side by side; odd row counts, a member without rows.
  constexpr std::int64_t kWide = 72;
  for (const std::int64_t rank : {1, 4, 16, 33}) {
    for (const double dropout : {0.0, 0.4}) {
      INFO("rank " << rank << ", dropout " << dropout);
      const at::Tensor weight = random_tensor({104, kWide}, 41);
      const at::Tensor x = random_tensor({120, kWide}, 42);
      const at::Tensor a = random_tensor({3, 3 * rank, kWide}, 43);
      const at::Tensor b = random_tensor({3, 104, rank}, 44);
      const at::Tensor upstream = random_tensor({120, 104}, 45) * 0.01;
      const auto term = [&](at::ScalarType type) {
        auto made = c10::make_intrusive<LowRankTerm>();
        made->frozen = FrozenLinear(weight.to(type));
        made->stream_offsets = {0, 83, 83, 120};
        made->columns = {{0, 72, 0}, {72, 16, 1}, {88, 16, 2}};
        made->rank = rank;
        made->scale = 0.5;
        made->dropout = dropout;
        made->dropout_key = {5, 2, 0, {0, 1, 2}};
        for (std::uint64_t row = 0; row < 120; ++row) made->row_keys.push_back(row);
        return made;
      };
      const auto single = [](const at::Tensor& t) { return t.to(at::kFloat); };
      const auto fused = term(at::kFloat);
      const auto exact = term(at::kDouble);
      CHECK(difference(adapted_linear(single(x), single(a), single(b), fused), adapted_linear_plain(x, a, b, exact)) <
            1e-3);
      const auto check = [&](const at::Tensor& at_point, const auto& f, const auto& plain) {
        CHECK(difference(autograd_gradient(f, single(at_point), single(upstream)),
                         autograd_gradient(plain, at_point, upstream)) < 2e-5);
      };
      check(
          x, [&](const at::Tensor& in) { return adapted_linear(in, single(a), single(b), fused); },
          [&](const at::Tensor& in) { return adapted_linear_plain(in, a, b, exact); });
      check(
          a, [&](const at::Tensor& in) { return adapted_linear(single(x), in, single(b), fused); },
          [&](const at::Tensor& in) { return adapted_linear_plain(x, in, b, exact); });
      check(
          b, [&](const at::Tensor& in) { return adapted_linear(single(x), single(a), in, fused); },
          [&](const at::Tensor& in) { return adapted_linear_plain(x, a, in, exact); });
    }
  }
}

TEST_CASE("a bfloat16 weight under float32 activations stays within bfloat16's rounding, gradients too") {
  const auto half = term_of(0.0);
  half->frozen = FrozenLinear(random_tensor({kOut, kIn}, 31, at::kFloat).to(at::kBFloat16));
  const auto exact = term_of(0.0);
  const auto single = [](const at::Tensor& x) { return x.to(at::kFloat); };
  const at::Tensor y = adapted_linear(single(kX), single(kA), single(kB), half);
  CHECK(y.scalar_type() == at::kFloat);
  CHECK(difference(y, adapted_linear_plain(kX, kA, kB, exact)) < 0.04);  // sums of six products of values below one
  const at::Tensor upstream = random_tensor({7, kOut}, 35);
  const at::Tensor gradient =
      autograd_gradient([&](const at::Tensor& x) { return adapted_linear(x, single(kA), single(kB), half); },
                        single(kX), single(upstream));
  const at::Tensor expected =
      autograd_gradient([&](const at::Tensor& x) { return adapted_linear_plain(x, kA, kB, exact); }, kX, upstream);
  CHECK(difference(gradient, expected) < 0.06);
  CHECK(difference(gradient, expected) > 0.0);
}

TEST_CASE("a member without rows gets a gradient of exact zeros") {
  const auto term = term_of(0.0);
  const auto f = [&](const at::Tensor& a) { return adapted_linear(kX, a, kB, term); };
  const at::Tensor gradient = autograd_gradient(f, kA, random_tensor({7, kOut}, 36));
  CHECK(gradient[1].abs().max().item<double>() == 0.0);
  CHECK(gradient[0].abs().max().item<double>() > 0.0);
}

TEST_CASE("a dropout mask depends on the row's key, not on its place") {
  const DropoutKey key{5, 2, 3, {0, 1}};
  const at::Tensor like = at::zeros({4, 10}, at::kFloat);
  const at::Tensor mask = dropout_mask(like, {0, 2, 4}, {7, 8, 7, 9}, key, 0.5);
  const at::Tensor moved = dropout_mask(like, {0, 1, 4}, {8, 9, 7, 8}, key, 0.5);
  CHECK(same_bits(mask[1], moved[0]));       // member 0, key 8
  CHECK(same_bits(mask[2], moved[2]));       // member 1, key 7
  CHECK(same_bits(mask[3], moved[1]));       // member 1, key 9
  CHECK_FALSE(same_bits(mask[0], mask[2]));  // the same key of another member
  DropoutKey later = key;
  later.step = 3;
  CHECK_FALSE(same_bits(mask, dropout_mask(like, {0, 2, 4}, {7, 8, 7, 9}, later, 0.5)));
}

TEST_CASE("dropout keeps the expected share and the expected value") {
  const DropoutKey key{1, 0, 0, {0}};
  const at::Tensor like = at::zeros({200, 100}, at::kFloat);
  std::vector<std::uint64_t> keys(200);
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = i;
  const at::Tensor mask = dropout_mask(like, {0, 200}, keys, key, 0.3);
  // 20,000 draws: the standard error of the mean is 0.0046.
  CHECK(mask.mean().item<double>() == Approx(1.0).margin(0.02));
  CHECK((mask == 0).to(at::kDouble).mean().item<double>() == Approx(0.3).margin(0.015));
}
