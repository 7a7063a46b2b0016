// Row-wise work sharing for CPU kernels on torch's own thread pool.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

namespace chorale {

/// Calls body(begin, end) over disjoint parts of [0, rows). `row_cost` is the number of elements a row touches; parts
/// are never smaller than about 16k elements, below which starting a thread costs more than it saves.
template <typename Body>
void for_rows(std::int64_t rows, std::int64_t row_cost, const Body& body) {
  const std::int64_t grain = std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, row_cost));
  at::parallel_for(0, rows, grain, body);
}

}  // namespace chorale
