#include "core/model/torch_version.hpp"

#include <caffe2/core/common.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>

namespace chorale {

std::string loaded_torch_version() {
  const auto& options = caffe2::GetBuildOptions();
  const auto found = options.find("TORCH_VERSION");
  return found == options.end() ? "unknown" : found->second;
}

std::string loaded_torch_directory() {
  Dl_info where{};
  // Any function of the library tells where the library is.
  if (dladdr(reinterpret_cast<const void*>(&caffe2::GetBuildOptions), &where) == 0 || where.dli_fname == nullptr) {
    return "an unknown place";
  }
  return std::filesystem::path(where.dli_fname).parent_path().string();
}

std::string torch_mismatch(std::string_view built, std::string_view loaded, std::string_view directory) {
  const auto release = [](std::string_view version) { return version.substr(0, version.find('+')); };
  if (release(built) == release(loaded)) return "";
  return fmt::format(
      "{}: the torch libraries are version {}, but this program was built against {}. Build it again "
      "(launch/quickstart, "
      "or cmake), or install torch {} there.",
      directory, loaded, built, release(built));
}

}  // namespace chorale
