#include "core/training/pass_plan.hpp"

#include <algorithm>

#include "core/base/errors.hpp"

namespace chorale {

PassSize largest_passes(std::int64_t members, std::int64_t batch_size, std::int64_t longest, std::int64_t rows) {
  CHORALE_ASSERT(members > 0 && batch_size > 0 && longest > 0, "a step has members, examples and rows");
  const std::int64_t batch_rows = batch_size * longest;
  if (rows == 0 || members * batch_rows <= rows) return {members, batch_size};
  if (batch_rows <= rows) {
    const std::int64_t most = rows / batch_rows;
    const std::int64_t slices = (members + most - 1) / most;
    return {(members + slices - 1) / slices, batch_size};
  }
  return {1, std::max<std::int64_t>(1, rows / longest)};
}

std::vector<std::vector<std::vector<std::size_t>>> cut_into_passes(
    const std::vector<std::vector<std::size_t>>& examples, const PassSize& size) {
  std::vector<std::vector<std::vector<std::size_t>>> passes;
  const std::size_t members = examples.size();
  const auto width = static_cast<std::size_t>(size.members);
  const auto depth = static_cast<std::size_t>(size.examples);
  for (std::size_t first = 0; first < members; first += width) {
    const std::size_t end = std::min(first + width, members);
    std::size_t longest = 0;
    for (std::size_t m = first; m < end; ++m) longest = std::max(longest, examples[m].size());
    for (std::size_t begin = 0; begin < longest; begin += depth) {
      std::vector<std::vector<std::size_t>> pass(members);
      for (std::size_t m = first; m < end; ++m) {
        const std::size_t from = std::min(begin, examples[m].size());
        const std::size_t to = std::min(from + depth, examples[m].size());
        pass[m].assign(examples[m].begin() + static_cast<std::ptrdiff_t>(from),
                       examples[m].begin() + static_cast<std::ptrdiff_t>(to));
      }
      passes.push_back(std::move(pass));
    }
  }
  return passes;
}

}  // namespace chorale
