// Patterns of tokenizer files are written for Oniguruma (Ruby's dialect); we match with PCRE2.
#pragma once

#include <string>
#include <string_view>

namespace chorale {

/// The PCRE2 pattern with the same meaning under PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE and newline LF.
///
/// \s, \S, \w and \W become the Unicode properties Oniguruma means by them (PCRE2's \s also has U+180E, its \w lacks
/// marks and connector punctuation), \v becomes the one control character, \uHHHH a code point. What both dialects read
/// but differently ((?m), \h, \b, nested classes, `&&` in a class, `{n}+`, `{,n}`, (?i) in the middle) is an InputError
/// naming the construct and its offset: a pattern that cuts text elsewhere would give wrong ids without a word.
[[nodiscard]] std::string to_pcre2_syntax(std::string_view pattern);

}  // namespace chorale
