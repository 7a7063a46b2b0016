// The torch a program was compiled against and the one it finds when it runs.
#pragma once

#include <string>
#include <string_view>

namespace chorale {

/// Version of the torch libraries this process has loaded, such as 2.11.0, and the directory they lie in.
[[nodiscard]] std::string loaded_torch_version();
[[nodiscard]] std::string loaded_torch_directory();

/// Empty when `loaded` fits `built` ("2.11.0+cu130": what stands behind a plus counts nothing), otherwise what is wrong
/// and what to do. Torch promises no binary compatibility between its versions, so only the same one fits.
[[nodiscard]] std::string torch_mismatch(std::string_view built, std::string_view loaded, std::string_view directory);

}  // namespace chorale
