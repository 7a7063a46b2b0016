// A read-only view of the tensors of one or several memory-mapped files, whatever their container.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace chorale {

/// How a tensor's elements are stored in the file.
enum class StorageType { float64, float32, float16, bfloat16, q4_0, q4_1, q8_0 };

[[nodiscard]] std::string_view storage_type_name(StorageType type);

/// One tensor as it lies in a mapped file. `shape` is row-major, slowest dimension first ([out, in] for a linear).
/// `bytes` stays valid as long as the TensorSource it came from.
struct TensorView {
  std::string name;
  std::vector<std::int64_t> shape;
  StorageType type = StorageType::float32;
  std::span<const std::byte> bytes;

  [[nodiscard]] std::int64_t element_count() const;
};

/// The tensors of a GGUF file or of the safetensors files of a model directory.
class TensorSource {
 public:
  TensorSource() = default;
  TensorSource(const TensorSource&) = delete;
  TensorSource& operator=(const TensorSource&) = delete;
  virtual ~TensorSource() = default;

  /// All tensors, sorted by name.
  [[nodiscard]] virtual const std::vector<TensorView>& tensors() const = 0;
  /// File or directory, for messages.
  [[nodiscard]] virtual const std::string& path() const = 0;

  /// The tensor called `name`, or nullptr.
  [[nodiscard]] const TensorView* find(std::string_view name) const;
  /// The tensor called `name`; InputError naming the file and the nearest name otherwise.
  [[nodiscard]] const TensorView& at(std::string_view name) const;
};

/// Decodes a whole tensor to float32; out.size() must equal element_count().
/// Block layouts as in the ggml project's quantisation formats (see decode.cpp).
void decode(const TensorView& tensor, std::span<float> out);

}  // namespace chorale
