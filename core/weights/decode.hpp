// From a tensor's stored form to float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/weights/tensor_source.hpp"

namespace chorale {

/// How many elements stand in one indivisible block of a storage type, and how many bytes such a block takes.
struct BlockLayout {
  std::int64_t elements = 1;
  std::int64_t bytes = 1;
};

[[nodiscard]] BlockLayout block_layout(StorageType type);

/// Length of a row: the last dimension (1 for a scalar). Rows are the product of the other dimensions; a vector is one
/// row.
[[nodiscard]] std::int64_t row_length(const TensorView& tensor);
[[nodiscard]] std::int64_t row_count(const TensorView& tensor);

/// Bytes of a row in its stored form.
[[nodiscard]] std::int64_t row_bytes(const TensorView& tensor);

/// Decodes rows [first, first + count) to float32, row-major; out.size() must be count * row_length(tensor), and the
/// rows must be inside the tensor. Touches nothing shared: different threads may decode different rows at the same
/// time.
void decode_rows(const TensorView& tensor, std::int64_t first, std::int64_t count, std::span<float> out);

/// The same rows as they are stored; out.size() must be count * row_bytes(tensor).
void copy_rows(const TensorView& tensor, std::int64_t first, std::int64_t count, std::span<std::byte> out);

/// IEEE 754 half and bfloat16 bit patterns to float32, exactly; NaN stays NaN.
[[nodiscard]] float float_from_half(std::uint16_t bits);
[[nodiscard]] float float_from_bfloat16(std::uint16_t bits);

}  // namespace chorale
