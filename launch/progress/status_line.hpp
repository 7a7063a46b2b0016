// The one line at the bottom of the terminal that is redrawn in place, and text that scrolls above it.
#pragma once

#include <cstdio>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace chorale {

/// Everything we write to standard error goes through here, so that a log message never lands inside a progress bar.
/// Safe to call from several threads.
class StatusLine {
 public:
  using Columns = std::function<int()>;

  /// `columns` gives the terminal's width as it is now: a line that was drawn before the window became narrower takes
  /// several rows of it by then, and all of them are erased. Without `escapes` nothing but carriage returns and blanks
  /// is used, and such rows stay.
  explicit StatusLine(std::FILE* stream, Columns columns = nullptr, bool escapes = true)
      : stream_(stream), columns_(std::move(columns)), escapes_(escapes) {}

  /// Replaces the status line. `text` must be one line of ASCII that fits the terminal.
  void show(std::string_view text);
  /// Removes the status line.
  void clear();
  /// Writes `text` (a newline is added) where it stays, and draws the status line again below it.
  void print(std::string_view text);

 private:
  [[nodiscard]] std::string erasure() const;

  std::mutex mutex_;
  std::FILE* stream_;
  Columns columns_;
  bool escapes_;
  std::string shown_;
};

/// The status line of standard error; no escape codes where NO_COLOR is set.
[[nodiscard]] StatusLine& standard_error_line();

/// Whether standard error is a terminal that understands control sequences.
[[nodiscard]] bool standard_error_is_terminal();

/// Columns of the terminal behind standard error, 80 when unknown.
[[nodiscard]] int terminal_width();

}  // namespace chorale
