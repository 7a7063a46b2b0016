#include "core/storage/event_record.hpp"

#include <array>
#include <bit>

namespace chorale {
namespace {

constexpr std::array<std::uint32_t, 256> crc_table() {
  constexpr std::uint32_t kReflectedPolynomial = 0x82F63B78U;
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1U) ^ ((value & 1U) != 0 ? kReflectedPolynomial : 0U);
    table[byte] = value;
  }
  return table;
}

// The framing masks its checksums so that a checksum over data that holds checksums stays a good one.
std::uint32_t masked_crc(std::string_view bytes) {
  constexpr std::uint32_t kMaskDelta = 0xA282EAD8U;
  return std::rotr(crc32c(bytes), 15) + kMaskDelta;
}

template <typename Number>
void append_little_endian(std::string& bytes, Number number) {
  for (unsigned shift = 0; shift < 8 * sizeof(Number); shift += 8)
    bytes += static_cast<char>((number >> shift) & 0xFFU);
}

// Protobuf: a field is its number and wire type, then its content.
enum class Wire : std::uint32_t { varint = 0, fixed64 = 1, length = 2, fixed32 = 5 };

void append_varint(std::string& bytes, std::uint64_t number) {
  for (; number >= 0x80U; number >>= 7U) bytes += static_cast<char>((number & 0x7FU) | 0x80U);
  bytes += static_cast<char>(number);
}

void append_key(std::string& bytes, std::uint32_t field, Wire wire) {
  append_varint(bytes, (field << 3U) | static_cast<std::uint32_t>(wire));
}

void append_bytes(std::string& bytes, std::uint32_t field, std::string_view content) {
  append_key(bytes, field, Wire::length);
  append_varint(bytes, content.size());
  bytes += content;
}

// Event: 1 wall_time, 2 step.
std::string event_head(double wall_time, std::int64_t step) {
  std::string event;
  append_key(event, 1, Wire::fixed64);
  append_little_endian(event, std::bit_cast<std::uint64_t>(wall_time));
  append_key(event, 2, Wire::varint);
  append_varint(event, static_cast<std::uint64_t>(step));
  return event;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> kTable = crc_table();
  std::uint32_t value = ~0U;
  for (const char byte : bytes) value = kTable[(value ^ static_cast<unsigned char>(byte)) & 0xFFU] ^ (value >> 8U);
  return ~value;
}

std::string event_record(std::string_view payload) {
  std::string record;
  append_little_endian(record, static_cast<std::uint64_t>(payload.size()));
  append_little_endian(record, masked_crc(record));
  record += payload;
  append_little_endian(record, masked_crc(payload));
  return record;
}

std::string version_event(double wall_time) {
  std::string event = event_head(wall_time, 0);
  append_bytes(event, 3, "brain.Event:2");  // file_version
  return event;
}

std::string restart_event(double wall_time, std::int64_t step) {
  constexpr std::uint64_t kStart = 1;
  std::string session;
  append_key(session, 1, Wire::varint);  // SessionLog: 1 status
  append_varint(session, kStart);
  std::string event = event_head(wall_time, step);
  append_bytes(event, 7, session);  // session_log
  return event;
}

std::string scalars_event(double wall_time, std::int64_t step, std::span<const EventScalar> scalars) {
  std::string summary;
  for (const EventScalar& scalar : scalars) {
    std::string value;  // Summary.Value: 1 tag, 2 simple_value
    append_bytes(value, 1, scalar.tag);
    append_key(value, 2, Wire::fixed32);
    append_little_endian(value, std::bit_cast<std::uint32_t>(static_cast<float>(scalar.value)));
    append_bytes(summary, 1, value);
  }
  std::string event = event_head(wall_time, step);
  append_bytes(event, 5, summary);
  return event;
}

}  // namespace chorale
