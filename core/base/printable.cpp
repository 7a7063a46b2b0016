#include "core/base/printable.hpp"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace chorale {

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  std::size_t position = 0;
  while (position < text.size() && position < limit) {
    const auto rest = text.substr(position);
    const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(rest.data());
    utf8proc_int32_t code_point = -1;
    const utf8proc_ssize_t used =
        utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(std::min<std::size_t>(rest.size(), 4)), &code_point);
    const bool control = code_point >= 0 && (code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0));
    if (used > 0 && !control && code_point != '\\') {
      out.append(rest.substr(0, static_cast<std::size_t>(used)));
      position += static_cast<std::size_t>(used);
      continue;
    }
    if (rest.front() == '\n') {
      out += "\\n";
    } else if (rest.front() == '\t') {
      out += "\\t";
    } else if (rest.front() == '\\') {
      out += "\\\\";
    } else {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<std::uint8_t>(rest.front()));
    }
    ++position;
  }
  if (position < text.size()) {
    out += "...";
  }
  return out;
}

}  // namespace chorale
