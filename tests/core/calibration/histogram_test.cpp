#include "core/calibration/histogram.hpp"

#include <numeric>

#include "support/catch.hpp"

using chorale::histogram;

TEST_CASE("values on an edge belong to the bin above it, the upper end and more to the last") {
  const std::vector<double> values = {0.0, 0.24, 0.25, 0.5, 0.99, 1.0, 1.5};
  CHECK(histogram(values, 1.0, 4) == std::vector<std::size_t>{2, 1, 1, 3});
  CHECK(histogram({}, 1.0, 3) == std::vector<std::size_t>{0, 0, 0});
  CHECK(histogram(values, 1e-9, 2) == std::vector<std::size_t>{1, 6});
}
