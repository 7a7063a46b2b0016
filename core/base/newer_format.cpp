#include "core/base/newer_format.hpp"

#include <fmt/format.h>

namespace chorale {

NewerFormatError::NewerFormatError(const std::string& path, std::int64_t version, std::int64_t newest)
    : InputError(
          fmt::format("{}: has format_version {}, this program (chorale {}) reads up to {}. Use a newer chorale.", path,
                      version, CHORALE_VERSION, newest)) {}

}  // namespace chorale
