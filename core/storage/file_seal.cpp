#include "core/storage/file_seal.hpp"

#include <fmt/format.h>

#include "core/base/errors.hpp"
#include "core/base/mapped_file.hpp"
#include "core/base/sha256.hpp"

namespace chorale {
namespace {

constexpr std::string_view kMarker = "\nchorale-sha256:";
constexpr std::size_t kSealBytes = kMarker.size() + 64 + 1;

}  // namespace

std::string seal_of(std::string_view content) {
  return fmt::format("{}{}\n", kMarker, sha256(content));
}

void check_seal(const std::string& path) {
  const MappedFile file(path);
  const std::string_view whole(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (whole.size() < kSealBytes) {
    return;
  }
  const std::string_view content = whole.substr(0, whole.size() - kSealBytes);
  const std::string_view seal = whole.substr(content.size());
  if (seal.starts_with(kMarker) && seal != seal_of(content)) {
    throw InputError(
        fmt::format("{}: its contents do not fit the checksum at its end: the file is damaged. Copy it again "
                    "or make it anew.",
                    path));
  }
}

}  // namespace chorale
