#include "launch/progress/status_line.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace chorale {
namespace {

void write(std::FILE* stream, const std::string& text) {
  // Nothing sensible can be done when standard error itself is gone.
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

bool wants_escapes() {
  const char* no_colour = std::getenv("NO_COLOR");
  return no_colour == nullptr || *no_colour == '\0';
}

}  // namespace

// Brings the cursor to the first column of an empty line, where the status line began.
std::string StatusLine::erasure() const {
  const std::size_t columns = columns_ ? static_cast<std::size_t>(std::max(1, columns_())) : shown_.size() + 1;
  if (!escapes_) return "\r" + std::string(std::min(shown_.size(), columns - 1), ' ') + "\r";
  // Terminals break a line anew that no longer fits; the cursor is in the last of its rows.
  const std::size_t rows_above = shown_.empty() ? 0 : (shown_.size() - 1) / columns;
  return rows_above == 0 ? "\r\033[K" : fmt::format("\r\033[{}A\033[J", rows_above);
}

void StatusLine::show(std::string_view text) {
  const std::lock_guard lock(mutex_);
  const std::string before = erasure();
  shown_ = text;
  write(stream_, before + shown_);
}

void StatusLine::clear() {
  const std::lock_guard lock(mutex_);
  if (!shown_.empty()) write(stream_, erasure());
  shown_.clear();
}

void StatusLine::print(std::string_view text) {
  const std::lock_guard lock(mutex_);
  const std::string before = shown_.empty() ? std::string() : erasure();
  // Drawn again below what was said, unless the window has become too narrow meanwhile.
  if (columns_ && shown_.size() >= static_cast<std::size_t>(std::max(1, columns_()))) shown_.clear();
  write(stream_, before + std::string(text) + "\n" + shown_);
}

StatusLine& standard_error_line() {
  static StatusLine line(stderr, terminal_width, wants_escapes());
  return line;
}

bool standard_error_is_terminal() {
  const char* kind = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

int terminal_width() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

}  // namespace chorale
