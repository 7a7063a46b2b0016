// The directory a run writes its results to.
#pragma once

#include <string>
#include <string_view>

namespace chorale {

/// Creates `path`, or takes it when it is there and empty. Throws UsageError when it holds anything (nothing is ever
/// overwritten) and StorageError when it cannot be made or written.
class RunDirectory {
 public:
  explicit RunDirectory(std::string path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

}  // namespace chorale
