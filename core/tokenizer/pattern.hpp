// A compiled regular expression over UTF-8.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace chorale {

/// A stretch of a text, in bytes, that a rule matched or left between matches.
struct TextSpan {
  std::size_t begin;
  std::size_t end;
  bool matched;
};

/// PCRE2 behind a value: UTF and Unicode properties on, compiled to machine code where the library can. Immutable;
/// matching is safe from several threads.
class Pattern {
 public:
  /// `source` is in PCRE2's syntax. InputError naming the pattern, the offset and PCRE2's own words when it does not
  /// compile.
  explicit Pattern(std::string source);
  ~Pattern();
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;

  /// Cuts `text` (valid UTF-8) into matches and what lies between them, in order, covering every byte. Like Oniguruma's
  /// iterator it skips an empty match at the end of the match before. InputError when a match takes more steps or
  /// memory than any sensible pattern needs.
  [[nodiscard]] std::vector<TextSpan> cut(std::string_view text) const;

  [[nodiscard]] const std::string& source() const { return source_; }

 private:
  struct Compiled;
  std::string source_;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace chorale
