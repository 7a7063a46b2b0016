// Grouped low-rank products against torch's, for ranks and widths on both sides of every block size.
#include "core/kernels/grouped_low_rank.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

const RowOffsets kOffsets = {0, 37, 37, 42};  // one member without rows

// Member by member in float64 with torch's product; f(member, first row, rows).
template <typename Body>
void by_member(const Body& body) {
  for (std::int64_t m = 0; m < 3; ++m) {
    const std::int64_t first = kOffsets[static_cast<std::size_t>(m)];
    const std::int64_t count = kOffsets[static_cast<std::size_t>(m) + 1] - first;
    if (count > 0) body(m, first, count);
  }
}

}  // namespace

TEST_CASE("grouped low-rank products equal torch's, inside their columns only") {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const double tolerance = type == at::kFloat ? 2e-5 : 1e-12;
    for (const std::int64_t rank : {1, 3, 8, 11, 16, 24}) {
      for (const std::int64_t width : {1, 15, 16, 256, 300, 577}) {
        INFO("rank " << rank << ", width " << width);
        const at::Tensor x = random_tensor({42, width + 5}, 61, type);
        const at::Tensor m = random_tensor({3, rank, width}, 62, type);
        const at::Tensor u = random_tensor({42, rank + 2}, 63, type);

        at::Tensor down = at::full({42, rank + 2}, 7.0, type);
        grouped_down(x, 3, m, down, 1, kOffsets, 0.5);
        at::Tensor up = x.clone();
        grouped_up(u, 1, m, up, 3, kOffsets, 0.5);
        at::Tensor outer = at::full({3, rank, width}, 7.0, type);
        grouped_outer(u, 1, x, 3, outer, kOffsets, 0.5);
        // The same with the rank last, as adapters keep B, and added to what stands there.
        at::Tensor rank_last = at::full({3, width, rank}, 7.0, type).transpose(1, 2);
        grouped_outer(u, 1, x, 3, rank_last, kOffsets, 0.5);
        at::Tensor added = at::full({3, width, rank}, 7.0, type).transpose(1, 2);
        grouped_outer_add(u, 1, x, 3, added, kOffsets, 0.5);

        at::Tensor expected_down = at::full({42, rank + 2}, 7.0, at::kDouble);
        at::Tensor expected_up = x.to(at::kDouble).clone();
        at::Tensor expected_outer = at::zeros({3, rank, width}, at::kDouble);
        by_member([&](std::int64_t member, std::int64_t first, std::int64_t count) {
          const at::Tensor in = x.to(at::kDouble).narrow(0, first, count).narrow(1, 3, width);
          const at::Tensor small = u.to(at::kDouble).narrow(0, first, count).narrow(1, 1, rank);
          const at::Tensor factor = m[member].to(at::kDouble);
          expected_down.narrow(0, first, count).narrow(1, 1, rank).copy_(at::mm(in, factor.t()) * 0.5);
          expected_up.narrow(0, first, count).narrow(1, 3, width).add_(at::mm(small, factor), 0.5);
          expected_outer[member].copy_(at::mm(small.t(), in) * 0.5);
        });
        CHECK(difference(down, expected_down) < tolerance);
        CHECK(difference(up, expected_up) < tolerance);
        CHECK(difference(outer, expected_outer) < tolerance);
        CHECK(same_bits(rank_last, outer));
        CHECK(difference(added, expected_outer + 7.0) < tolerance);
      }
    }
  }
}

TEST_CASE("types without a kernel of their own take torch's products") {
  const at::Tensor x = random_tensor({42, 24}, 64, at::kFloat);
  const at::Tensor m = random_tensor({3, 4, 24}, 65, at::kFloat);
  at::Tensor exact = at::zeros({42, 4}, at::kFloat);
  at::Tensor half = at::zeros({42, 4}, at::kBFloat16);
  grouped_down(x, 0, m, exact, 0, kOffsets, 1.0);
  grouped_down(x.to(at::kBFloat16), 0, m.to(at::kBFloat16), half, 0, kOffsets, 1.0);
  CHECK(difference(half, exact) < 0.1);
}
