// The product with a matrix in panels, and the low-rank products that go with it, against float64 sums.
#include "core/kernels/panel_product.hpp"

#include <ATen/Parallel.h>

#include <algorithm>

#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

struct Columns {
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

// Some of y's columns get an update from all of x, and x's columns give downs of their own; by turns the small matrices
// lie with their rank last.
struct Setup {
  at::Tensor x, weight, bias;
  RowOffsets offsets;
  std::int64_t rank = 0;
  std::vector<Columns> from, into;

  [[nodiscard]] at::Tensor small(std::size_t number, std::int64_t width) const {
    const auto members = static_cast<std::int64_t>(offsets.size()) - 1;
    const at::Tensor m = random_tensor({members, rank, width}, 100 + number, at::kFloat);
    return number % 2 == 0 ? m : m.transpose(1, 2).contiguous().transpose(1, 2);
  }

  [[nodiscard]] LowRankPass pass() const {
    const auto linears = static_cast<std::int64_t>(std::max(from.size(), into.size()));
    LowRankPass pass{offsets, random_tensor({x.size(0), linears * rank + 1}, 99, at::kFloat), {}, {}};
    for (std::size_t i = 0; i < from.size(); ++i) {
      pass.downs.push_back({small(i, from[i].count), from[i].begin, static_cast<std::int64_t>(i) * rank, 0.7});
    }
    for (std::size_t i = 0; i < into.size(); ++i) {
      pass.ups.push_back({small(10 + i, into[i].count), static_cast<std::int64_t>(i) * rank, into[i].begin, 1.3});
    }
    return pass;
  }

  // The same by torch's products in float64; `u` as before the pass.
  [[nodiscard]] at::Tensor expected(const LowRankPass& pass, at::Tensor& u) const {
    at::Tensor y = at::mm(x.to(at::kDouble), weight.to(at::kDouble).t());
    if (bias.defined()) y += bias.to(at::kDouble);
    for (std::size_t m = 0; m + 1 < offsets.size(); ++m) {
      const auto rows = [&](const at::Tensor& all) {
        return all.narrow(0, offsets[m], offsets[m + 1] - offsets[m]).to(at::kDouble);
      };
      at::Tensor small_u = u.narrow(0, offsets[m], offsets[m + 1] - offsets[m]);
      const auto member = static_cast<std::int64_t>(m);
      for (const LowRankDown& down : pass.downs) {
        small_u.narrow(1, down.first, rank)
            .copy_(at::mm(rows(x).narrow(1, down.begin, down.m.size(2)), down.m[member].to(at::kDouble).t()) *
                   down.scale);
      }
      for (const LowRankUp& up : pass.ups) {
        y.narrow(0, offsets[m], offsets[m + 1] - offsets[m])
            .narrow(1, up.begin, up.m.size(2))
            .add_(at::mm(small_u.narrow(1, up.first, rank), up.m[member].to(at::kDouble)) * up.scale);
      }
    }
    return y;
  }
};

void check(const Setup& setup) {
  const PanelMatrix panels = panels_of_transposed(setup.weight);
  at::Tensor first;
  const int threads = at::get_num_threads();
  for (const int count : {1, 2, 3}) {
    at::set_num_threads(count);
    LowRankPass pass = setup.pass();
    at::Tensor u = pass.u.to(at::kDouble);
    const at::Tensor y = panel_product(setup.x, panels, setup.bias, &pass);
    const double tolerance = 1e-6 * static_cast<double>(setup.x.size(1) + 60);
    CHECK(difference(y, setup.expected(pass, u)) < tolerance);
    CHECK(difference(pass.u, u) < tolerance);
    if (first.defined()) CHECK(same_bits(y, first));  // however many threads share the work
    first = y;
  }
  at::set_num_threads(threads);
}

}  // namespace

TEST_CASE("panels hold the matrix, in both directions") {
  for (const std::int64_t out : {1, 15, 16, 33, 96}) {
    for (const std::int64_t in : {1, 16, 47, 64}) {
      const at::Tensor weight = random_tensor({out, in}, 81, at::kFloat);
      const PanelMatrix panels = panels_of_transposed(weight);
      CHECK(same_bits(plain_transposed(panels), weight));
      CHECK(same_bits(plain_transposed(transposed(panels)), weight.t()));
      CHECK(same_bits(plain_transposed(panels_of_transposed(weight.t())), weight.t()));
    }
  }
}

TEST_CASE("a product with panels equals float64 sums with every member's updates, whatever the sizes") {
  for (const std::int64_t rank : {1, 4, 16, 33}) {
    for (const RowOffsets& offsets : {RowOffsets{0, 1}, RowOffsets{0, 37, 37, 42, 43}, RowOffsets{0, 0, 130, 301}}) {
      INFO("rank " << rank << ", rows " << offsets.back());
      Setup setup;
      setup.offsets = offsets;
      setup.rank = rank;
      setup.x = random_tensor({offsets.back(), 70}, 82, at::kFloat);
      setup.weight = random_tensor({157, 70}, 83, at::kFloat);
      setup.from = {{0, 70}};
      setup.into = {{0, 48}, {50, 61}, {150, 7}};  // side by side, between panels, at the end
      check(setup);
      setup.bias = random_tensor({157}, 84, at::kFloat);
      setup.from = {{3, 40}, {64, 6}};
      setup.into = {{5, 140}};
      check(setup);
    }
  }
}

TEST_CASE("long sums and wide matrices, with and without a pass") {
  Setup setup;
  setup.offsets = {0, 9, 50};
  setup.rank = 16;
  setup.x = random_tensor({50, 2100}, 85, at::kFloat);
  setup.weight = random_tensor({320, 2100}, 86, at::kFloat);
  setup.from = {{0, 1024}, {1024, 1076}};
  setup.into = {{0, 320}};
  check(setup);
  setup.bias = random_tensor({320}, 87, at::kFloat);
  check(setup);
  const at::Tensor y = panel_product(setup.x, panels_of_transposed(setup.weight), setup.bias, nullptr);
  const at::Tensor expected =
      at::addmm(setup.bias.to(at::kDouble), setup.x.to(at::kDouble), setup.weight.to(at::kDouble).t());
  CHECK(difference(y, expected) < 1e-3);
  CHECK(panel_product(setup.x.narrow(0, 0, 0), panels_of_transposed(setup.weight), setup.bias, nullptr).size(0) == 0);
}
