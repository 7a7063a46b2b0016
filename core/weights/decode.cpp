#include "core/weights/decode.hpp"

#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "core/base/errors.hpp"

namespace chorale {
namespace {

// Block layouts of the ggml project (32 weights a block, scales in half precision):
//   Q4_0  half d, 16 bytes q:          low nibbles are weights 0..15, high nibbles 16..31; weight = d * (nibble - 8)
//   Q4_1  half d, half m, 16 bytes q:  the same order; weight = d * nibble + m
//   Q8_0  half d, 32 signed bytes q:   weight = d * q
// A half times a nibble or a byte is exact in float32, so a fused multiply-add cannot change the last bit.
constexpr std::size_t block = 32;

template <typename Number>
Number load(const std::byte* from) {
  Number value;
  std::memcpy(&value, from, sizeof(Number));
  return value;
}

// Branches would keep the compiler from vectorising; three candidates and two selections do not.
inline float half_to_float(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16U;
  const std::uint32_t magnitude = bits & 0x7fffU;
  const std::uint32_t normal = (magnitude << 13U) + (112U << 23U);     // exponent bias 15 -> 127
  const std::uint32_t infinite = (magnitude << 13U) | (0xffU << 23U);  // infinity, NaN
  // 0.5 + magnitude * 2^-24 has the subnormal's digits at the end of its mantissa; the difference is exact.
  const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude | 0x3f000000U) - 0.5F);
  std::uint32_t value = magnitude >= 0x7c00U ? infinite : normal;
  value = magnitude < 0x0400U ? subnormal : value;
  return std::bit_cast<float>(value | sign);
}

inline float bfloat16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

void decode_float64(const std::byte* from, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(load<double>(from + 8 * i));
  }
}

void decode_half(const std::byte* from, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = half_to_float(load<std::uint16_t>(from + 2 * i));
  }
}

void decode_bfloat16(const std::byte* from, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = bfloat16_to_float(load<std::uint16_t>(from + 2 * i));
  }
}

// Copies a block's quants to a local array first: the compiler then knows that they do not overlap `to`.
template <std::size_t count, typename Quant>
std::array<Quant, count> quants(const std::byte* from) {
  std::array<Quant, count> values;
  std::memcpy(values.data(), from, sizeof(values));
  return values;
}

void decode_nibbles(const std::byte* from, int zero, float scale, float lowest, float* to) {
  const auto packed = quants<block / 2, std::uint8_t>(from);
  for (std::size_t j = 0; j < block / 2; ++j) {
    to[j] = scale * static_cast<float>((packed[j] & 15) - zero) + lowest;
  }
  for (std::size_t j = 0; j < block / 2; ++j) {
    to[block / 2 + j] = scale * static_cast<float>((packed[j] >> 4) - zero) + lowest;
  }
}

void decode_q4_0(const std::byte* from, std::span<float> out) {
  for (std::size_t done = 0; done < out.size(); done += block, from += 18) {
    decode_nibbles(from + 2, 8, half_to_float(load<std::uint16_t>(from)), 0.0F, out.data() + done);
  }
}

void decode_q4_1(const std::byte* from, std::span<float> out) {
  for (std::size_t done = 0; done < out.size(); done += block, from += 20) {
    const float scale = half_to_float(load<std::uint16_t>(from));
    decode_nibbles(from + 4, 0, scale, half_to_float(load<std::uint16_t>(from + 2)), out.data() + done);
  }
}

void decode_q8_0(const std::byte* from, std::span<float> out) {
  for (std::size_t done = 0; done < out.size(); done += block, from += 34) {
    const float scale = half_to_float(load<std::uint16_t>(from));
    const auto packed = quants<block, std::int8_t>(from + 2);
    float* to = out.data() + done;
    for (std::size_t j = 0; j < block; ++j) {
      to[j] = scale * static_cast<float>(packed[j]);
    }
  }
}

void decode_elements(StorageType type, const std::byte* from, std::span<float> out) {
  switch (type) {
    case StorageType::float64:
      return decode_float64(from, out);
    case StorageType::float32:
      std::memcpy(out.data(), from, out.size_bytes());
      return;
    case StorageType::float16:
      return decode_half(from, out);
    case StorageType::bfloat16:
      return decode_bfloat16(from, out);
    case StorageType::q4_0:
      return decode_q4_0(from, out);
    case StorageType::q4_1:
      return decode_q4_1(from, out);
    case StorageType::q8_0:
      return decode_q8_0(from, out);
  }
  throw InternalError("a storage type without a decoder");
}

std::span<const std::byte> stored_rows(const TensorView& tensor, std::int64_t first, std::int64_t count) {
  const std::int64_t rows = row_count(tensor);
  CHORALE_ASSERT(first >= 0 && count >= 0 && first <= rows && count <= rows - first, "rows outside " + tensor.name);
  const std::int64_t bytes = row_bytes(tensor);
  CHORALE_ASSERT(std::cmp_less_equal((first + count) * bytes, tensor.bytes.size()), "short bytes of " + tensor.name);
  return tensor.bytes.subspan(static_cast<std::size_t>(first * bytes), static_cast<std::size_t>(count * bytes));
}

}  // namespace

float float_from_half(std::uint16_t bits) {
  return half_to_float(bits);
}
float float_from_bfloat16(std::uint16_t bits) {
  return bfloat16_to_float(bits);
}

BlockLayout block_layout(StorageType type) {
  switch (type) {
    case StorageType::float64:
      return {1, 8};
    case StorageType::float32:
      return {1, 4};
    case StorageType::float16:
    case StorageType::bfloat16:
      return {1, 2};
    case StorageType::q4_0:
      return {32, 18};
    case StorageType::q4_1:
      return {32, 20};
    case StorageType::q8_0:
      return {32, 34};
  }
  throw InternalError("a storage type without a layout");
}

std::int64_t row_length(const TensorView& tensor) {
  return tensor.shape.empty() ? 1 : tensor.shape.back();
}

std::int64_t row_count(const TensorView& tensor) {
  std::int64_t rows = 1;
  for (std::size_t i = 0; i + 1 < tensor.shape.size(); ++i) {
    rows *= tensor.shape[i];
  }
  return rows;
}

std::int64_t row_bytes(const TensorView& tensor) {
  const BlockLayout layout = block_layout(tensor.type);
  return row_length(tensor) / layout.elements * layout.bytes;
}

void decode_rows(const TensorView& tensor, std::int64_t first, std::int64_t count, std::span<float> out) {
  CHORALE_ASSERT(std::cmp_equal(out.size(), count * row_length(tensor)), "wrong room for rows of " + tensor.name);
  const std::span<const std::byte> stored = stored_rows(tensor, first, count);
  if (!out.empty()) decode_elements(tensor.type, stored.data(), out);
}

void copy_rows(const TensorView& tensor, std::int64_t first, std::int64_t count, std::span<std::byte> out) {
  const std::span<const std::byte> stored = stored_rows(tensor, first, count);
  CHORALE_ASSERT(out.size() == stored.size(), "wrong room for rows of " + tensor.name);
  if (!out.empty()) std::memcpy(out.data(), stored.data(), stored.size());
}

void decode(const TensorView& tensor, std::span<float> out) {
  decode_rows(tensor, 0, row_count(tensor), out);
}

}  // namespace chorale
