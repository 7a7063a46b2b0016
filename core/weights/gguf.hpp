// GGUF files, the container of the ggml project: metadata, a table of tensors, and their data.
#pragma once

#include <string>
#include <vector>

#include "core/base/mapped_file.hpp"
#include "core/weights/metadata.hpp"
#include "core/weights/tensor_source.hpp"

namespace chorale {

/// A memory-mapped GGUF file, version 2 or 3, little-endian, in one part. Shapes come row-major (the file stores the
/// fastest dimension first). Strings of the metadata stay valid as long as this object.
class GgufFile : public TensorSource {
 public:
  /// Reads and checks everything except the tensors' values. InputError naming the file and the key or tensor.
  explicit GgufFile(const std::string& path);

  [[nodiscard]] const std::vector<TensorView>& tensors() const override { return tensors_; }
  [[nodiscard]] const std::string& path() const override { return file_.path(); }
  [[nodiscard]] const Metadata& metadata() const { return metadata_; }
  [[nodiscard]] std::uint32_t version() const { return version_; }

 private:
  MappedFile file_;
  std::uint32_t version_ = 0;
  Metadata metadata_;
  std::vector<TensorView> tensors_;
};

/// Whether the file at `path` begins with GGUF's four letters; false when it cannot be read.
[[nodiscard]] bool looks_like_gguf(const std::string& path);

}  // namespace chorale
