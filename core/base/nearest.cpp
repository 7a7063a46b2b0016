#include "core/base/nearest.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace chorale {
namespace {

// Names come from files too: past this length a suggestion helps nobody and the quadratic table would cost time.
constexpr std::size_t longest_name = 200;

char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

// Optimal string alignment distance by three rolling rows of the usual table.
std::size_t edit_distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> before_last(right.size() + 1);
  std::vector<std::size_t> last(right.size() + 1);
  std::vector<std::size_t> current(right.size() + 1);
  for (std::size_t j = 0; j <= right.size(); ++j) {
    current[j] = j;
  }
  for (std::size_t i = 1; i <= left.size(); ++i) {
    std::swap(before_last, last);
    std::swap(last, current);
    current[0] = i;
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const bool same = lower(left[i - 1]) == lower(right[j - 1]);
      current[j] = std::min({last[j] + 1, current[j - 1] + 1, last[j - 1] + (same ? 0U : 1U)});
      const bool swapped =
          i > 1 && j > 1 && lower(left[i - 1]) == lower(right[j - 2]) && lower(left[i - 2]) == lower(right[j - 1]);
      if (swapped) {
        current[j] = std::min(current[j], before_last[j - 2] + 1);
      }
    }
  }
  return current[right.size()];
}

std::size_t tolerance(std::size_t longer) {
  const std::size_t third = longer / 3;
  return longer > 3 ? std::max<std::size_t>(2, third) : third;
}

template <typename Text>
std::string nearest_of(std::string_view name, std::span<const Text> candidates) {
  if (name.empty() || name.size() > longest_name) {
    return {};
  }
  std::string_view best;
  std::size_t best_distance = longest_name + 1;
  for (const std::string_view candidate : candidates) {
    if (candidate.empty() || candidate.size() > longest_name) {
      continue;
    }
    const auto [shorter, longer] = std::minmax({name.size(), candidate.size()});
    if (longer - shorter >= best_distance || longer - shorter > tolerance(longer)) {
      continue;
    }
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < best_distance && distance <= tolerance(longer)) {
      best = candidate;
      best_distance = distance;
    }
  }
  return std::string(best);
}

}  // namespace

std::string nearest(std::string_view name, std::span<const std::string_view> candidates) {
  return nearest_of(name, candidates);
}

std::string nearest(std::string_view name, std::span<const std::string> candidates) {
  return nearest_of(name, candidates);
}

std::string nearest(std::string_view name, std::initializer_list<std::string_view> candidates) {
  return nearest_of(name, std::span<const std::string_view>(candidates.begin(), candidates.size()));
}

}  // namespace chorale
