// safetensors files: a JSON table in front of plain little-endian arrays.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/base/mapped_file.hpp"
#include "core/weights/tensor_source.hpp"

namespace chorale {

/// A memory-mapped safetensors file. Everything the format demands is checked on opening: the header's length (at most
/// 100,000,000 bytes), JSON without duplicate keys, extents that fit dtype and shape and cover the data without overlap
/// or hole. InputError names file and tensor.
class SafetensorsFile : public TensorSource {
 public:
  explicit SafetensorsFile(const std::string& path);

  /// Tensors of the dtypes F64, F32, F16 and BF16.
  [[nodiscard]] const std::vector<TensorView>& tensors() const override { return tensors_; }
  [[nodiscard]] const std::string& path() const override { return file_.path(); }
  /// Valid tensors of other dtypes (integers, 8-bit floats), name to dtype: they are there but cannot be decoded.
  [[nodiscard]] const std::map<std::string, std::string>& undecodable() const { return undecodable_; }
  /// The file's `__metadata__`.
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  MappedFile file_;
  std::vector<TensorView> tensors_;
  std::map<std::string, std::string> undecodable_;
  std::map<std::string, std::string> metadata_;
};

/// A float32 tensor to be written; shape row-major.
struct TensorToWrite {
  std::string name;
  std::vector<std::int64_t> shape;
  std::span<const float> values;
};

/// Writes float32 tensors in order of their names and returns the file's SHA-256; safetensors_writer.hpp writes other
/// types, and tensors in pieces. The file appears under its name complete or not at all. StorageError when it cannot be
/// written.
std::string write_safetensors(const std::string& path, std::vector<TensorToWrite> tensors,
                              const std::map<std::string, std::string>& metadata = {});

}  // namespace chorale
