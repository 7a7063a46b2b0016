#include "core/tokenizer/splitter.hpp"

#include "core/tokenizer/pattern_syntax.hpp"
#include "core/tokenizer/pre_tokenizer.hpp"
#include "support/catch.hpp"
#include "support/input_error.hpp"

namespace chorale {
namespace {

using test::contains;
using test::input_error_of;

using Pieces = std::vector<std::string>;

Pieces split(const Splitter& splitter, std::string_view text) {
  Pieces pieces;
  for (const std::string_view piece : splitter.split(text)) {
    pieces.emplace_back(piece);
  }
  return pieces;
}

Pieces cut(const std::string& expression, std::string_view text) {
  return split({find_pattern(Pattern(to_pcre2_syntax(expression))), SplitBehaviour::isolated, false, ""}, text);
}

// The example of the tokenizers documentation.
TEST_CASE("each behaviour does what its name says") {
  const auto behave = [](SplitBehaviour behaviour) {
    return split({find_literal("-"), behaviour, false, ""}, "the-final--countdown");
  };
  REQUIRE(behave(SplitBehaviour::removed) == Pieces{"the", "final", "countdown"});
  REQUIRE(behave(SplitBehaviour::isolated) == Pieces{"the", "-", "final", "-", "-", "countdown"});
  REQUIRE(behave(SplitBehaviour::merged_with_previous) == Pieces{"the-", "final-", "-", "countdown"});
  REQUIRE(behave(SplitBehaviour::merged_with_next) == Pieces{"the", "-final", "-", "-countdown"});
  REQUIRE(behave(SplitBehaviour::contiguous) == Pieces{"the", "-", "final", "--", "countdown"});
}

TEST_CASE("digits of every script are cut") {
  const Splitter digits{find_digits(), SplitBehaviour::isolated, false, ""};
  REQUIRE(split(digits, "In 12\u0663\u00bd") == Pieces{"In ", "1", "2", "\u0663", "\u00bd"});
}

TEST_CASE("white space is Unicode's, not PCRE2's") {
  REQUIRE(cut(R"(\s)", "a\u0085b\u180ec\u2003d") == Pieces{"a", "\u0085", "b\u180ec", "\u2003", "d"});
  REQUIRE(cut(R"([^\s]+)", "a\u180e \u00a0b") == Pieces{"a\u180e", " \u00a0", "b"});
}

TEST_CASE("a piece is prefixed with a space in front of the step that asks for it") {
  PreTokenizer rules;
  rules.splitters.push_back({find_literal("|"), SplitBehaviour::removed, false, "bars"});
  rules.prefix_space_before = 1;
  Pieces pieces;
  rules.run("a| b|c", [&](std::string_view piece) { pieces.emplace_back(piece); });
  REQUIRE(pieces == Pieces{" a", " b", " c"});
  pieces.clear();
  rules.run("", [&](std::string_view piece) { pieces.emplace_back(piece); });
  REQUIRE(pieces.empty());
}

TEST_CASE("constructs of another meaning are refused by name") {
  struct Case {
    std::string pattern;
    std::string named;
  };
  const std::vector<Case> cases = {
      {R"(\h+)", "\\h"},      {R"(a\b)", "\\b"},          {R"((?m).)", "(?m"},         {R"([a[b]])", "'[' inside"},
      {R"([a&&b])", "'&&'"},  {R"(\d{1,3}+)", "counted"}, {R"(a{,3})", "'{,'"},        {R"(a(?i)b)", "in the middle"},
      {R"((*UTF)a)", "'(*'"}, {R"(\u12)", "\\u"},         {R"([]a])", "first member"}, {R"([\W])", "\\W"},
      {R"(\Qa\E)", "\\Q"},    {R"((?x) a)", "(?x"},       {R"((a)\1)", "\\1"},
  };
  for (const Case& c : cases) {
    INFO(c.pattern);
    REQUIRE_THAT(input_error_of([&] { static_cast<void>(to_pcre2_syntax(c.pattern)); }), contains(c.named));
  }
}

TEST_CASE("a pattern that does not compile says where") {
  for (const std::string pattern : {"(", "[a", "\\", "\\p{Nonsense}", "\\x{", "a**", "\\p{", "(?<=a+)b"}) {
    INFO(pattern);
    const auto build = [&] { static_cast<void>(Pattern(to_pcre2_syntax(pattern))); };
    REQUIRE_THAT(input_error_of(build), contains("does not compile"));
  }
}

TEST_CASE("a catastrophic pattern gives up with a message") {
  const Pattern pattern("(a+)+$");
  const std::string text = std::string(40, 'a') + "b";
  REQUIRE_THAT(input_error_of([&] { static_cast<void>(pattern.cut(text)); }), contains("gave up"));
}

TEST_CASE("a pattern deeper than the compiled code's stack is matched all the same") {
  const Pattern pattern("(?:(a)|(b))*c");
  std::string text;
  for (int i = 0; i < 20000; ++i) {
    text += i % 3 == 0 ? "a" : "b";
  }
  text += "c";
  const std::vector<TextSpan> spans = pattern.cut(text);
  REQUIRE(spans.size() == 1);
  REQUIRE(spans[0].matched);
}

}  // namespace
}  // namespace chorale
