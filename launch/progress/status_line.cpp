#include "launch/progress/status_line.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace chorale {
namespace {

constexpr std::string_view kEraseLine = "\r\033[K";

void write(std::FILE* stream, const std::string& text) {
  // Nothing sensible can be done when standard error itself is gone.
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

}  // namespace

void StatusLine::show(std::string_view text) {
  const std::lock_guard lock(mutex_);
  shown_ = text;
  write(stream_, std::string(kEraseLine) + shown_);
}

void StatusLine::clear() {
  const std::lock_guard lock(mutex_);
  if (!shown_.empty()) write(stream_, std::string(kEraseLine));
  shown_.clear();
}

void StatusLine::print(std::string_view text) {
  const std::lock_guard lock(mutex_);
  const std::string before = shown_.empty() ? std::string() : std::string(kEraseLine);
  write(stream_, before + std::string(text) + "\n" + shown_);
}

StatusLine& standard_error_line() {
  static StatusLine line(stderr);
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
