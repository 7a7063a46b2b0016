#include "core/weights/byte_reader.hpp"

#include <fmt/format.h>

#include "core/base/errors.hpp"

namespace chorale {

std::span<const std::byte> ByteReader::take(std::uint64_t count, std::string_view what) {
  if (count > left()) {
    throw InputError(fmt::format(
        "{}: the file ends too early: {} at byte {} needs {} bytes, {} are left. An interrupted download? Fetch it "
        "again.",
        path_, what, position_, count, left()));
  }
  const auto taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
  position_ += taken.size();
  return taken;
}

std::string_view ByteReader::text(std::string_view what) {
  const auto length = number<std::uint64_t>(what);
  const auto taken = take(length, what);
  return {reinterpret_cast<const char*>(taken.data()), taken.size()};
}

void ByteReader::expect_room(std::uint64_t count, std::uint64_t smallest, std::string_view what) const {
  if (count > left() / smallest) {
    throw InputError(fmt::format(
        "{}: {} at byte {} is {}, more than the {} bytes left can hold. The file is damaged or cut short: fetch it "
        "again.",
        path_, what, position_, count, left()));
  }
}

}  // namespace chorale
