// Small files, read at one go.
#pragma once

#include <optional>
#include <string>

namespace chorale {

/// The content of `path`; nothing when there is no such file. InputError when it is there and cannot be read.
[[nodiscard]] std::optional<std::string> read_whole_file(const std::string& path);

}  // namespace chorale
