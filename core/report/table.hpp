// Aligned text tables for a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace chorale {

/// Columns everything we print keeps within.
inline constexpr std::size_t kTerminalColumns = 100;

/// Terminal columns `text` takes: wide and combining characters counted as terminals show them, colour codes as none.
[[nodiscard]] std::size_t display_width(std::string_view text);

/// `text` cut to `columns`, with "…" where something was cut off. Text without colour codes only.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t columns);

/// Rows of cells, the first column to the left, the others to the right, two blanks between columns.
class Table {
 public:
  void add_row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  /// All rows, each ended by a line feed and without blanks at its end. Short rows are filled up with empty cells.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// Whether text to this file descriptor should carry colour: a terminal, NO_COLOR not set, TERM not "dumb".
[[nodiscard]] bool wants_colour(int file_descriptor);

}  // namespace chorale
