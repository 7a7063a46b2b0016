// The register-blocked product against float64 sums, in every way its factors may lie and around every width it treats
// apart.
#include "core/kernels/small_product.hpp"

#include <vector>

#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

// C = 0.5 A B, or C += 0.5 A B onto ones, with A transposed in memory and B in packed panels if asked for.
template <typename T>
at::Tensor computed(const at::Tensor& a, const at::Tensor& b, bool left_transposed, bool panels, bool add) {
  const at::ScalarType type = a.scalar_type();
  const std::int64_t rows = a.size(0);
  const std::int64_t depth = a.size(1);
  const std::int64_t width = b.size(1);
  const at::Tensor left = left_transposed ? a.t().contiguous() : a.contiguous();
  at::Tensor right = b.contiguous();
  RightFactor<T> factor{right.const_data_ptr<T>(), width, kPanel<T>};
  std::vector<T> packed;
  if (panels) {
    packed.assign(static_cast<std::size_t>((width + kPanel<T> - 1) / kPanel<T> * kPanel<T> * depth), T(0));
    const at::Tensor transposed = b.t().contiguous();
    for (std::int64_t j = 0; j < width; j += kPanel<T>) {
      transpose_rows(Rows<const T>{transposed.const_data_ptr<T>() + j * depth, depth},
                     Rows<T>{packed.data() + j * depth, kPanel<T>}, std::min(kPanel<T>, width - j), depth);
    }
    factor = {packed.data(), kPanel<T>, kPanel<T> * depth};
  }
  at::Tensor c = at::ones({rows, width + 3}, type);  // a margin that must stay as it is
  const LeftFactor<T> first{left.const_data_ptr<T>(), left_transposed ? 1 : depth, left_transposed ? rows : 1};
  const Rows<T> out{c.mutable_data_ptr<T>(), width + 3};
  add ? small_product_add(first, factor, out, rows, width, depth, T(0.5))
      : small_product(first, factor, out, rows, width, depth, T(0.5));
  CHECK(same_bits(c.narrow(1, width, 3), at::ones({rows, 3}, type)));
  return c.narrow(1, 0, width);
}

}  // namespace

TEST_CASE("small products equal float64 sums, however the factors lie") {
  for (const std::int64_t rows : {1, 5, 8, 23}) {
    for (const std::int64_t width : {1, 3, 4, 8, 15, 16, 31, 48, 64, 103}) {
      for (const std::int64_t depth : {0, 1, 37}) {
        const at::Tensor a = random_tensor({rows, depth}, 71);
        const at::Tensor b = random_tensor({depth, width}, 72);
        const at::Tensor expected = at::mm(a, b) * 0.5;
        for (const int how : {0, 1, 2, 3, 4, 5, 6, 7}) {
          const bool add = (how & 4) != 0;
          const at::Tensor sum = add ? expected + 1.0 : expected;
          CHECK(difference(computed<double>(a, b, (how & 1) != 0, (how & 2) != 0, add), sum) < 1e-14);
          CHECK(difference(computed<float>(a.to(at::kFloat), b.to(at::kFloat), (how & 1) != 0, (how & 2) != 0, add),
                           sum) < 5e-6);
        }
      }
    }
  }
}

TEST_CASE("rows and columns change places, in squares and around them") {
  for (const std::int64_t rows : {1, 15, 16, 17, 48, 50}) {
    for (const std::int64_t columns : {1, 16, 31, 64, 70}) {
      for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
        const at::Tensor in = random_tensor({rows, columns + 2}, 73, type);
        at::Tensor out = at::zeros({columns, rows + 1}, type);
        if (type == at::kFloat) {
          transpose_rows(Rows<const float>{in.const_data_ptr<float>() + 1, columns + 2},
                         Rows<float>{out.mutable_data_ptr<float>(), rows + 1}, rows, columns);
        } else {
          transpose_rows(Rows<const double>{in.const_data_ptr<double>() + 1, columns + 2},
                         Rows<double>{out.mutable_data_ptr<double>(), rows + 1}, rows, columns);
        }
        CHECK(same_bits(out.narrow(1, 0, rows), in.narrow(1, 1, columns).t()));
        CHECK(out.narrow(1, rows, 1).abs().max().item<double>() == 0.0);
      }
    }
  }
}
