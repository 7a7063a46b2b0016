// The records TensorBoard reads, byte by byte: the framing of TFRecord files and the few protobuf messages we need.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace chorale {

/// One point of a curve; stored as float32, not-a-number included.
struct EventScalar {
  std::string tag;
  double value = 0.0;
};

/// CRC-32C (Castagnoli polynomial, reflected), as in RFC 3720 B.4.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes);

/// `payload` as a record: length (8 bytes), its masked CRC, payload, its masked CRC, little endian. The format of
/// tensorflow/core/lib/io/record_writer.h.
[[nodiscard]] std::string event_record(std::string_view payload);

/// Serialised tensorflow.Event messages (tensorboard/compat/proto/event.proto). Times are seconds since 1970.
/// The first of every file.
[[nodiscard]] std::string version_event(double wall_time);
/// SessionLog START: TensorBoard drops what earlier files of the directory hold of `step` and later ones.
[[nodiscard]] std::string restart_event(double wall_time, std::int64_t step);
[[nodiscard]] std::string scalars_event(double wall_time, std::int64_t step, std::span<const EventScalar> scalars);

}  // namespace chorale
