// "Did you mean": the known name that looks most like a mistyped one.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace chorale {

/// The candidate with the smallest edit distance to `name` (insertions, deletions, substitutions and swaps of
/// neighbours count one each; letter case counts nothing); the first of equals. Empty when nothing is near enough to be
/// a slip: further than a third of the longer name's length, at least 2 for names of more than 3 characters.
[[nodiscard]] std::string nearest(std::string_view name, std::span<const std::string_view> candidates);
[[nodiscard]] std::string nearest(std::string_view name, std::span<const std::string> candidates);
[[nodiscard]] std::string nearest(std::string_view name, std::initializer_list<std::string_view> candidates);

/// " Did you mean 'x'?" with the nearest candidate, or nothing: ready to be put behind a message.
template <typename Candidates>
[[nodiscard]] std::string did_you_mean(std::string_view name, const Candidates& candidates) {
  const std::string found = nearest(name, candidates);
  return found.empty() ? std::string() : " Did you mean '" + found + "'?";
}

}  // namespace chorale
