// How a step's work is cut into passes that fit memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace chorale {

/// What one pass forward and back takes of a step: so many members, so many examples of each.
struct PassSize {
  std::int64_t members = 1;
  std::int64_t examples = 1;
};

/// The largest passes of at most `rows` rows (tokens of all members in it) when every example has `longest` rows:
/// everything at once; else whole batches of as many members as fit, in slices as equal as can be, for a member's
/// gradient is then the one sum it is without slices; else one member's batch in parts. At least one example of one
/// member. rows 0: no limit.
[[nodiscard]] PassSize largest_passes(std::int64_t members, std::int64_t batch_size, std::int64_t longest,
                                      std::int64_t rows);

/// The passes of a step: for each, the examples of every member, none for members that are not in it. examples: of the
/// whole step, by member. Passes without examples are left out.
[[nodiscard]] std::vector<std::vector<std::vector<std::size_t>>> cut_into_passes(
    const std::vector<std::vector<std::size_t>>& examples, const PassSize& size);

}  // namespace chorale
