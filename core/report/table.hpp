// Aligned text tables for a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace chorale {

/// Columns everything we print keeps within where nothing is known of the reader's.
inline constexpr std::size_t kTerminalColumns = 80;

/// Columns that tables to this file descriptor may take: those of a terminal wider than kTerminalColumns, else
/// kTerminalColumns.
[[nodiscard]] std::size_t columns_of(int file_descriptor);

/// Terminal columns `text` takes: wide and combining characters counted as terminals show them, colour codes as none.
[[nodiscard]] std::size_t display_width(std::string_view text);

/// A sentence in lines of at most `columns`, broken between words, the second and later ones indented by `indent`
/// blanks. A word that is longer by itself stays whole. Each line is ended by a line feed.
[[nodiscard]] std::string wrapped(std::string_view sentence, std::size_t columns, std::size_t indent = 2);

/// `label`, and from column `start` on the words of `text`, wrapped at `columns`; ended by a line feed.
[[nodiscard]] std::string beside(std::string_view label, std::size_t start, std::string_view text, std::size_t columns);

/// `text` cut to `columns`, with "…" where something was cut off. Text without colour codes only.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t columns);

/// Rows of cells, the first column to the left, the others to the right, two blanks between columns.
class Table {
 public:
  void add_row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  /// Columns of the widest row.
  [[nodiscard]] std::size_t width() const;
  /// All rows, each ended by a line feed and without blanks at its end. Short rows are filled up with empty cells.
  [[nodiscard]] std::string text() const;

 private:
  [[nodiscard]] std::vector<std::size_t> column_widths() const;

  std::vector<std::vector<std::string>> rows_;
};

/// Whether text to this file descriptor should carry colour: a terminal, NO_COLOR not set, TERM set and
/// not "dumb".
[[nodiscard]] bool wants_colour(int file_descriptor);

}  // namespace chorale
