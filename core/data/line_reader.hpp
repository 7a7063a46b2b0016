// A text file line by line, checked while it is read.
#pragma once

#include <cstddef>
#include <fstream>
#include <string>
#include <vector>

namespace chorale {

/// Longest line, and longest record over several lines, that a data file may have: far above any real record, far below
/// what a file without line ends could make us allocate.
inline constexpr std::size_t kMaxRecordBytes = std::size_t{16} << 20U;

/// Reads a file in pieces, so that the first records of a huge file or a pipe cost no more than they hold.
class LineReader {
 public:
  /// InputError when the file cannot be opened or is a directory.
  explicit LineReader(std::string path);

  /// Puts the next line, without its line feed, into `line`; false at the end of the file. A byte order mark is
  /// dropped. InputError with file:line for a line that is too long, holds a NUL or is not UTF-8.
  [[nodiscard]] bool next(std::string& line);

  /// 1-based number of the line given last; 0 before the first.
  [[nodiscard]] std::size_t line() const { return line_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  /// "path:line" of the line given last.
  [[nodiscard]] std::string where() const;

 private:
  [[nodiscard]] bool refill();
  void check(std::string& line) const;

  std::string path_;
  std::ifstream stream_;
  std::vector<char> buffer_;
  std::size_t position_ = 0;
  std::size_t filled_ = 0;
  std::size_t line_ = 0;
};

}  // namespace chorale
