#include "launch/recipe/mistakes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "core/base/errors.hpp"

namespace chorale::recipe {
namespace {

// Enough for any recipe written by hand; a file that is no recipe at all must not flood the terminal.
constexpr std::size_t kMostListed = 40;

}  // namespace

std::string to_string(const Place& place) {
  const std::string source = place.source ? *place.source : std::string("recipe");
  return place.line == 0 ? source : fmt::format("{}:{}:{}", source, place.line, place.column);
}

void Mistakes::add(const Place& place, std::string_view key, std::string_view message) {
  entries_.push_back({place, key.empty() ? fmt::format("{}: {}", to_string(place), message)
                                         : fmt::format("{}: {}: {}", to_string(place), key, message)});
}

std::string Mistakes::text() const {
  std::vector<const Entry*> sorted;
  for (const Entry& entry : entries_) sorted.push_back(&entry);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Entry* left, const Entry* right) {
    const auto order = [](const Entry* entry) {
      return std::tuple(entry->place.line == 0, entry->place.line, entry->place.column);
    };
    return order(left) < order(right);
  });
  std::string text;
  for (std::size_t i = 0; i < sorted.size() && i < kMostListed; ++i) {
    text += (i == 0 ? "" : "\n") + sorted[i]->line;
  }
  if (sorted.size() > kMostListed) text += fmt::format("\n... and {} more", sorted.size() - kMostListed);
  return text;
}

void Mistakes::throw_if_any() const {
  if (!entries_.empty()) throw UsageError(text());
}

}  // namespace chorale::recipe
