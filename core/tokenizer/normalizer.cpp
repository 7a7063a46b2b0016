#include "core/tokenizer/normalizer.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "core/base/errors.hpp"
#include "core/base/utf8.hpp"

namespace chorale {

namespace {

utf8proc_propval_t combining_class(utf8proc_int32_t character) {
  return utf8proc_get_property(character)->combining_class;
}

std::vector<utf8proc_int32_t> decompose(std::string_view text) {
  std::vector<utf8proc_int32_t> characters;
  characters.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint next = code_point_at(text, at);
    std::array<utf8proc_int32_t, 32> parts{};  // the longest canonical decomposition has four
    int boundary = 0;
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(next.value), parts.data(),
                                static_cast<utf8proc_ssize_t>(parts.size()), UTF8PROC_DECOMPOSE, &boundary);
    CHORALE_ASSERT(count > 0 && count <= static_cast<utf8proc_ssize_t>(parts.size()), "canonical decomposition");
    characters.insert(characters.end(), parts.begin(), parts.begin() + count);
    at += next.bytes;
  }
  return characters;
}

/// Canonical ordering. The library's own call does this by bubble sort: minutes for a megabyte of marks.
void order_marks(std::vector<utf8proc_int32_t>& characters) {
  auto run = characters.begin();
  while (run != characters.end()) {
    const auto is_starter = [](utf8proc_int32_t character) { return combining_class(character) == 0; };
    run = std::find_if_not(run, characters.end(), is_starter);
    const auto end = std::find_if(run, characters.end(), is_starter);
    std::stable_sort(run, end, [](utf8proc_int32_t left, utf8proc_int32_t right) {
      return combining_class(left) < combining_class(right);
    });
    run = end;
  }
}

}  // namespace

std::string to_nfc(std::string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (ascii) {
    return std::string(text);
  }
  std::vector<utf8proc_int32_t> characters = decompose(text);
  order_marks(characters);
  const utf8proc_ssize_t count =
      utf8proc_normalize_utf32(characters.data(), static_cast<utf8proc_ssize_t>(characters.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  CHORALE_ASSERT(count >= 0, "canonical composition");
  std::string composed;
  composed.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    append_utf8(composed, static_cast<char32_t>(characters[static_cast<std::size_t>(i)]));
  }
  return composed;
}

std::string normalize(std::string_view text, Normalization kind) {
  return kind == Normalization::nfc ? to_nfc(text) : std::string(text);
}

}  // namespace chorale
