// safetensors files written piece by piece, so that a tensor never has to be in memory whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/base/descriptor.hpp"
#include "core/base/sha256.hpp"
#include "core/weights/tensor_source.hpp"

namespace chorale {

/// A tensor of a file that is to be written; shape row-major.
struct TensorEntry {
  std::string name;
  std::vector<std::int64_t> shape;
};

/// Writes one file: the header at once, values as they come. The file appears under its name complete or not at all.
class SafetensorsWriter {
 public:
  /// `type`: float32, float16 or bfloat16, for all tensors. Tensors lie in order of their names, whatever the order
  /// here; the header is padded so that data begin at a multiple of 8. StorageError when the file cannot be written.
  SafetensorsWriter(std::string path, StorageType type, std::vector<TensorEntry> tensors,
                    const std::map<std::string, std::string>& metadata);
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;
  SafetensorsWriter(SafetensorsWriter&&) = delete;
  SafetensorsWriter& operator=(SafetensorsWriter&&) = delete;
  /// Removes the file when it was not finished.
  ~SafetensorsWriter();

  /// The tensors in the order their values are to be appended in.
  [[nodiscard]] const std::vector<TensorEntry>& tensors() const { return tensors_; }
  /// The next values, rounded once to the file's type; pieces may end anywhere. InputError naming the tensor for a
  /// finite value beyond float16's range.
  void append(std::span<const float> values);
  /// Puts the complete file in its place and returns its SHA-256. StorageError.
  [[nodiscard]] std::string finish();

 private:
  void write(std::span<const std::byte> bytes);
  [[nodiscard]] const std::string& tensor_at(std::uint64_t element) const;

  std::string path_;
  std::string unfinished_;
  StorageType type_;
  std::vector<TensorEntry> tensors_;
  std::uint64_t elements_ = 0;  // of all tensors
  std::uint64_t written_ = 0;   // of these
  Descriptor file_;
  Sha256 hash_;
  std::vector<std::uint16_t> narrow_;
};

}  // namespace chorale
