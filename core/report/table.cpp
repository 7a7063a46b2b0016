#include "core/report/table.hpp"

#include <unistd.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

namespace chorale {
namespace {

// One character: how many bytes it has and how many columns it takes. A byte that is no UTF-8 counts as one column.
struct Glyph {
  std::size_t bytes = 1;
  std::size_t columns = 1;
};

Glyph next_glyph(std::string_view text) {
  utf8proc_int32_t point = 0;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const utf8proc_ssize_t length = utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size()), &point);
  if (length <= 0) {
    return {};
  }
  return {static_cast<std::size_t>(length), static_cast<std::size_t>(std::max(0, utf8proc_charwidth(point)))};
}

// Length of a colour code ("\x1b[...m") at the start of `text`, or 0.
std::size_t colour_code(std::string_view text) {
  if (!text.starts_with("\x1b[")) {
    return 0;
  }
  const std::size_t end = text.find('m');
  return end == std::string_view::npos ? 0 : end + 1;
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    if (const std::size_t code = colour_code(text); code > 0) {
      text.remove_prefix(code);
      continue;
    }
    const Glyph glyph = next_glyph(text);
    width += glyph.columns;
    text.remove_prefix(glyph.bytes);
  }
  return width;
}

std::string shortened(std::string_view text, std::size_t columns) {
  if (display_width(text) <= columns) {
    return std::string(text);
  }
  std::size_t bytes = 0;
  std::size_t width = 0;
  while (bytes < text.size()) {
    const Glyph glyph = next_glyph(text.substr(bytes));
    if (width + glyph.columns + 1 > columns) {
      break;
    }
    width += glyph.columns;
    bytes += glyph.bytes;
  }
  return std::string(text.substr(0, bytes)) + "…";
}

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], display_width(row[column]));
    }
  }
  std::string result;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      const std::string padding(widths[column] - display_width(row[column]), ' ');
      line += column == 0 ? row[column] + padding : "  " + padding + row[column];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + "\n";
  }
  return result;
}

bool wants_colour(int file_descriptor) {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return ::isatty(file_descriptor) == 1 && (no_colour == nullptr || *no_colour == '\0') &&
         !(terminal != nullptr && std::string_view(terminal) == "dumb");
}

}  // namespace chorale
