#include "core/data/line_reader.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/foreign_file.hpp"
#include "core/base/utf8.hpp"

namespace chorale {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{64} << 10U;

// UTF-16 and UTF-32 files start with FF FE or FE FF, bytes that UTF-8 never has.
bool looks_like_utf16(std::string_view line) {
  return line.substr(0, 2) == "\xff\xfe" || line.substr(0, 2) == "\xfe\xff" || line.find('\0') != line.npos;
}

}  // namespace

LineReader::LineReader(std::string path) : path_(std::move(path)), buffer_(kBufferBytes) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path_, ignored)) {
    throw InputError(fmt::format("{}: is a directory. Name the data file inside it.", path_));
  }
  errno = 0;
  stream_.open(path_, std::ios::binary);
  if (!stream_) {
    throw InputError(
        fmt::format("{}: cannot be opened ({}). Check the path; relative paths start at the working "
                    "directory.",
                    path_, std::strerror(errno)));
  }
}

std::string LineReader::where() const {
  return fmt::format("{}:{}", path_, line_);
}

bool LineReader::refill() {
  stream_.read(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
  if (stream_.bad())
    throw InputError(
        fmt::format("{}: reading failed after line {}. Check the disk, or copy the file again.", path_, line_));
  position_ = 0;
  filled_ = static_cast<std::size_t>(stream_.gcount());
  if (line_ == 0) {
    const auto kind = foreign_kind({buffer_.data(), filled_});
    if (kind) throw InputError(fmt::format("{}:1: is {}. {}", path_, kind->name, kind->data_remedy));
  }
  return filled_ > 0;
}

bool LineReader::next(std::string& line) {
  line.clear();
  if (position_ == filled_ && !refill()) return false;
  ++line_;
  do {
    const std::string_view rest(buffer_.data() + position_, filled_ - position_);
    const std::size_t end = rest.find('\n');
    line.append(rest.substr(0, end));
    if (line.size() > kMaxRecordBytes) {
      throw InputError(fmt::format("{}: the line is longer than {} MiB. Give a text file with one record a line.",
                                   where(), kMaxRecordBytes >> 20U));
    }
    if (end != rest.npos) {
      position_ += end + 1;
      break;
    }
  } while (refill());
  check(line);
  return true;
}

void LineReader::check(std::string& line) const {
  if (line_ == 1 && line.compare(0, 3, "\xef\xbb\xbf") == 0) line.erase(0, 3);
  if (looks_like_utf16(line)) {
    throw InputError(
        fmt::format("{}: holds bytes of UTF-16 or of a binary file. Save the file as UTF-8 text.", where()));
  }
  if (const std::optional<std::size_t> bad = first_invalid_utf8(line)) {
    throw InputError(fmt::format("{}: byte {} of the line (0x{:02x}) is not UTF-8. Save the file as UTF-8.", where(),
                                 *bad + 1, static_cast<unsigned char>(line[*bad])));
  }
}

}  // namespace chorale
