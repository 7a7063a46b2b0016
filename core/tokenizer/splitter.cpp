#include "core/tokenizer/splitter.hpp"

#include <algorithm>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/utf8.hpp"
#include "core/tokenizer/unicode_class.hpp"

namespace chorale {

namespace {

class DigitFinder final : public SpanFinder {
 public:
  std::vector<TextSpan> find(std::string_view text) const override {
    std::vector<TextSpan> spans;
    std::size_t begin = 0;  // of the stretch without digits
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint character = code_point_at(text, at);
      const std::size_t end = at + character.bytes;
      if (is_numeric(character.value)) {
        if (begin < at) {
          spans.push_back({begin, at, false});
        }
        spans.push_back({at, end, true});
        begin = end;
      }
      at = end;
    }
    if (begin < text.size()) {
      spans.push_back({begin, text.size(), false});
    }
    return spans;
  }
};

class LiteralFinder final : public SpanFinder {
 public:
  explicit LiteralFinder(std::string literal) : literal_(std::move(literal)) {
    CHORALE_ASSERT(!literal_.empty(), "an empty literal is found everywhere");
  }

  std::vector<TextSpan> find(std::string_view text) const override {
    std::vector<TextSpan> spans;
    std::size_t covered = 0;
    for (std::size_t at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, covered)) {
      if (covered < at) {
        spans.push_back({covered, at, false});
      }
      covered = at + literal_.size();
      spans.push_back({at, covered, true});
    }
    if (covered < text.size()) {
      spans.push_back({covered, text.size(), false});
    }
    return spans;
  }

 private:
  std::string literal_;
};

class PatternFinder final : public SpanFinder {
 public:
  explicit PatternFinder(Pattern pattern) : pattern_(std::move(pattern)) {}
  std::vector<TextSpan> find(std::string_view text) const override { return pattern_.cut(text); }

 private:
  Pattern pattern_;
};

}  // namespace

std::unique_ptr<const SpanFinder> find_digits() {
  return std::make_unique<DigitFinder>();
}
std::unique_ptr<const SpanFinder> find_literal(std::string literal) {
  return std::make_unique<LiteralFinder>(std::move(literal));
}
std::unique_ptr<const SpanFinder> find_pattern(Pattern pattern) {
  return std::make_unique<PatternFinder>(std::move(pattern));
}

std::vector<TextSpan> apply_behaviour(const std::vector<TextSpan>& spans, SplitBehaviour behaviour) {
  std::vector<TextSpan> stretches;
  bool previous_matched = false;
  // A stretch joins its neighbour's when the behaviour says so; the neighbour is the one visited before.
  const auto visit = [&](const TextSpan& span, bool joins, bool backwards) {
    if (joins && !stretches.empty()) {
      (backwards ? stretches.back().begin : stretches.back().end) = backwards ? span.begin : span.end;
    } else {
      stretches.push_back(span);
    }
    previous_matched = span.matched;
  };
  switch (behaviour) {
    case SplitBehaviour::isolated:
      return spans;
    case SplitBehaviour::removed:
      std::copy_if(spans.begin(), spans.end(), std::back_inserter(stretches),
                   [](const TextSpan& span) { return !span.matched; });
      return stretches;
    case SplitBehaviour::contiguous:
      for (const TextSpan& span : spans) {
        visit(span, span.matched == previous_matched, false);
      }
      return stretches;
    case SplitBehaviour::merged_with_previous:
      // The second of two matches in a row stands alone: only text is there to be merged with.
      for (const TextSpan& span : spans) {
        visit(span, span.matched && !previous_matched, false);
      }
      return stretches;
    case SplitBehaviour::merged_with_next:
      for (auto span = spans.rbegin(); span != spans.rend(); ++span) {
        visit(*span, span->matched && !previous_matched, true);
      }
      std::reverse(stretches.begin(), stretches.end());
      return stretches;
  }
  CHORALE_ASSERT(false, "unknown split behaviour");
  return stretches;
}

std::vector<std::string_view> Splitter::split(std::string_view text) const {
  std::vector<TextSpan> spans = finder->find(text);
  if (invert) {
    for (TextSpan& span : spans) {
      span.matched = !span.matched;
    }
  }
  std::vector<std::string_view> pieces;
  for (const TextSpan& stretch : apply_behaviour(spans, behaviour)) {
    if (stretch.begin < stretch.end) {
      pieces.push_back(text.substr(stretch.begin, stretch.end - stretch.begin));
    }
  }
  return pieces;
}

}  // namespace chorale
