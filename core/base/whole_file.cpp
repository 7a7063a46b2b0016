#include "core/base/whole_file.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/base/errors.hpp"

namespace chorale {

std::optional<std::string> read_whole_file(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  // Of an empty file nothing can be taken, which would count as a failure.
  if (file && file.peek() != std::ifstream::traits_type::eof()) content << file.rdbuf();
  if (!file.is_open() || file.bad()) {
    throw InputError(fmt::format("{}: cannot be read. Make it readable, or move it away.", path));
  }
  return content.str();
}

}  // namespace chorale
