// One rule that cuts text into smaller pieces.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/tokenizer/pattern.hpp"

namespace chorale {

/// What becomes of a match, in the words of tokenizer.json.
enum class SplitBehaviour { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Finds the places where to cut.
class SpanFinder {
 public:
  virtual ~SpanFinder() = default;
  /// Matches and what lies between, covering `text` (valid UTF-8, not empty).
  [[nodiscard]] virtual std::vector<TextSpan> find(std::string_view text) const = 0;
};

/// Every numeric character by itself.
[[nodiscard]] std::unique_ptr<const SpanFinder> find_digits();
/// Every occurrence of `literal`, which must not be empty.
[[nodiscard]] std::unique_ptr<const SpanFinder> find_literal(std::string literal);
/// Every match of a pattern.
[[nodiscard]] std::unique_ptr<const SpanFinder> find_pattern(Pattern pattern);

/// A rule: where to cut, and what to do with the matches.
struct Splitter {
  std::unique_ptr<const SpanFinder> finder;
  SplitBehaviour behaviour = SplitBehaviour::isolated;
  /// Matches and what lies between them change places.
  bool invert = false;
  /// For people.
  std::string name;

  /// The pieces of `text` in order, none empty; views into `text`.
  [[nodiscard]] std::vector<std::string_view> split(std::string_view text) const;
};

/// The stretches that `spans` become under `behaviour`; empty ones stay in.
[[nodiscard]] std::vector<TextSpan> apply_behaviour(const std::vector<TextSpan>& spans, SplitBehaviour behaviour);

}  // namespace chorale
