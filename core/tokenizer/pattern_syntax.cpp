#include "core/tokenizer/pattern_syntax.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"

namespace chorale {

namespace {

/// Oniguruma's \w. It counts six Latin-1 numbers (superscript 1 to 3, the quarters and the half) that Unicode leaves
/// out.
constexpr std::string_view word_members = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
/// Letters behind a backslash that mean the same in both dialects.
constexpr std::string_view same_escapes = "dDpPnrtfaeAzZx";

bool is_letter_or_digit(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

class Translation {
 public:
  explicit Translation(std::string_view pattern) : pattern_(pattern) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      if (pattern_[at_] == '\\') {
        escape();
      } else if (in_class_) {
        class_character();
      } else {
        plain_character();
      }
    }
    return std::move(translated_);
  }

 private:
  [[noreturn]] void refuse(std::string_view construct) const {
    throw InputError(
        fmt::format("pattern '{}' uses {} at offset {}, which this program does not read the way the file's "
                    "author meant it. Write the pattern without it.",
                    printable(pattern_, 200), construct, at_));
  }

  [[nodiscard]] bool follows(std::string_view text) const { return pattern_.substr(at_, text.size()) == text; }

  void copy(std::size_t count) {
    translated_ += pattern_.substr(at_, count);
    at_ += count;
  }

  void replace(std::size_t count, std::string_view by) {
    translated_ += by;
    at_ += count;
  }

  void escape() {
    const char letter = at_ + 1 < pattern_.size() ? pattern_[at_ + 1] : '\0';
    if (letter == 's') {
      replace(2, R"(\p{White_Space})");
    } else if (letter == 'S') {
      replace(2, R"(\P{White_Space})");
    } else if (letter == 'w') {
      replace(2, in_class_ ? std::string(word_members) : fmt::format("[{}]", word_members));
    } else if (letter == 'W' && !in_class_) {
      replace(2, fmt::format("[^{}]", word_members));
    } else if (letter == 'v') {
      replace(2, R"(\x0b)");
    } else if (letter == 'u') {
      const std::string_view digits = pattern_.substr(at_ + 2, 4);
      if (digits.size() != 4 ||
          !std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isxdigit(c) != 0; })) {
        refuse(R"(\u without four hexadecimal digits)");
      }
      replace(6, fmt::format("\\x{{{}}}", digits));
    } else if (is_letter_or_digit(letter) && same_escapes.find(letter) == std::string_view::npos) {
      refuse(fmt::format("\\{}", letter));
    } else if ((letter == 'p' || letter == 'P' || letter == 'x') && pattern_.substr(at_ + 2, 1) == "{") {
      const std::size_t end = pattern_.find('}', at_);
      copy(end == std::string_view::npos ? pattern_.size() - at_ : end + 1 - at_);
    } else {
      copy(std::min<std::size_t>(2, pattern_.size() - at_));
    }
    class_start_ = false;
  }

  void class_character() {
    const char c = pattern_[at_];
    if (c == '[') {
      refuse("'[' inside a character class");
    }
    if (follows("&&")) {
      refuse("'&&' inside a character class");
    }
    if (c == '^' && class_start_) {
      copy(1);
      return;
    }
    if (c == ']') {
      if (class_start_) {
        refuse("']' as the first member of a character class");
      }
      in_class_ = false;
    }
    class_start_ = false;
    copy(1);
  }

  void plain_character() {
    const char c = pattern_[at_];
    if (c == '[') {
      in_class_ = class_start_ = true;
    } else if (follows("(*")) {
      refuse("'(*'");
    } else if (follows("(?")) {
      group_options();
    } else if (follows("{,")) {
      refuse("'{,'");
    } else if (follows("}+")) {
      refuse("'+' behind a counted repetition");
    }
    copy(1);
  }

  /// Looks at (?flags) and (?flags:...), without moving on.
  void group_options() {
    std::size_t end = at_ + 2;
    while (end < pattern_.size() && (is_letter_or_digit(pattern_[end]) || pattern_[end] == '-')) {
      ++end;
    }
    const std::string_view flags = pattern_.substr(at_ + 2, end - at_ - 2);
    if (flags.empty()) {
      return;  // a look-around, a named group or (?:
    }
    if (flags.find_first_not_of("i-") != std::string_view::npos) {
      refuse(fmt::format("'(?{}'", flags));
    }
    // Ruby lets (?i) swallow the alternatives behind it, PCRE2 does not; at the very beginning both agree.
    if (end < pattern_.size() && pattern_[end] == ')' && at_ != 0) {
      refuse(fmt::format("'(?{})' in the middle", flags));
    }
  }

  std::string_view pattern_;
  std::string translated_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  bool class_start_ = false;
};

}  // namespace

std::string to_pcre2_syntax(std::string_view pattern) {
  return Translation(pattern).run();
}

}  // namespace chorale
