// A cursor over bytes nobody vouches for: every read checks what is left before it looks.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace chorale {

static_assert(std::endian::native == std::endian::little, "weights files are read in place: little-endian hosts only");

/// Reads little-endian values one after the other. Every member throws InputError, naming the file, the position and
/// what was being read, when the bytes do not suffice. `what` is a short phrase such as "tensor count".
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string path) : bytes_(bytes), path_(std::move(path)) {}

  template <typename Number>
  requires std::integral<Number> || std::floating_point<Number>
  [[nodiscard]] Number number(std::string_view what) {
    Number value{};
    std::memcpy(&value, take(sizeof(Number), what).data(), sizeof(Number));
    return value;
  }

  /// A string with a 64-bit length in front.
  [[nodiscard]] std::string_view text(std::string_view what);
  [[nodiscard]] std::span<const std::byte> take(std::uint64_t count, std::string_view what);
  /// Refuses `count` items of at least `smallest` bytes each that cannot fit into what is left.
  void expect_room(std::uint64_t count, std::uint64_t smallest, std::string_view what) const;

  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] std::uint64_t left() const { return bytes_.size() - position_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::span<const std::byte> bytes_;
  std::string path_;
  std::size_t position_ = 0;
};

}  // namespace chorale
