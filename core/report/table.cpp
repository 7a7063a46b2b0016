#include "core/report/table.hpp"

#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <sstream>

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

std::string wrapped(std::string_view sentence, std::size_t columns, std::size_t indent) {
  std::string text;
  std::size_t column = 0;
  std::istringstream words{std::string(sentence)};
  for (std::string word; words >> word;) {
    const std::size_t width = display_width(word);
    if (text.empty()) {
      column = width;
    } else if (column + 1 + width <= columns) {
      text += ' ';
      column += 1 + width;
    } else {
      text += "\n" + std::string(indent, ' ');
      column = indent + width;
    }
    text += word;
  }
  return text + "\n";
}

std::string beside(std::string_view label, std::size_t start, std::string_view text, std::size_t columns) {
  const std::string indent(start, ' ');
  const std::size_t used = std::min(start, display_width(label) + 1);
  std::string result = std::string(label) + std::string(start - used + 1, ' ');
  std::istringstream lines(wrapped(text, columns - start, 0));
  bool first = true;
  for (std::string line; std::getline(lines, line); first = false) result += (first ? "" : indent) + line + "\n";
  return result;
}

std::vector<std::size_t> Table::column_widths() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], display_width(row[column]));
    }
  }
  return widths;
}

std::size_t Table::width() const {
  const std::vector<std::size_t> widths = column_widths();
  return widths.empty() ? 0 : std::accumulate(widths.begin(), widths.end(), 2 * (widths.size() - 1));
}

std::string Table::text() const {
  const std::vector<std::size_t> widths = column_widths();
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

std::size_t columns_of(int file_descriptor) {
  winsize size{};
  const bool known = ::isatty(file_descriptor) == 1 && ::ioctl(file_descriptor, TIOCGWINSZ, &size) == 0;
  return known ? std::max<std::size_t>(kTerminalColumns, size.ws_col) : kTerminalColumns;
}

bool wants_colour(int file_descriptor) {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return ::isatty(file_descriptor) == 1 && (no_colour == nullptr || *no_colour == '\0') && terminal != nullptr &&
         std::string_view(terminal) != "dumb";
}

}  // namespace chorale
