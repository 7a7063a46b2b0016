// The parsing half of metadata.hpp: every byte here comes from a file that may be damaged or hostile.
#include <fmt/format.h>

#include <array>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/weights/metadata.hpp"

namespace chorale {
namespace {

// Longest key the format's description allows.
constexpr std::size_t longest_key = 65535;
// The shortest pair: an empty key's length, a type, one byte.
constexpr std::uint64_t smallest_pair = 8 + 4 + 1;

std::size_t number_size(MetadataType type) {
  switch (type) {
    case MetadataType::uint8:
    case MetadataType::int8:
    case MetadataType::boolean:
      return 1;
    case MetadataType::uint16:
    case MetadataType::int16:
      return 2;
    case MetadataType::uint32:
    case MetadataType::int32:
    case MetadataType::float32:
      return 4;
    case MetadataType::uint64:
    case MetadataType::int64:
    case MetadataType::float64:
      return 8;
    case MetadataType::string:
    case MetadataType::array:
      break;
  }
  return 0;
}

MetadataType read_type(ByteReader& reader, std::string_view key) {
  const auto number = reader.number<std::uint32_t>("a value's type");
  if (number > static_cast<std::uint32_t>(MetadataType::float64)) {
    throw InputError(
        fmt::format("{}: the metadata key '{}' has the unknown value type {}. The file is damaged or of a "
                    "newer format: fetch it again, or convert it to GGUF version 3.",
                    reader.path(), printable(key), number));
  }
  return static_cast<MetadataType>(number);
}

bool read_boolean(ByteReader& reader, std::string_view key) {
  const auto byte = reader.number<std::uint8_t>("a boolean");
  if (byte > 1) {
    throw InputError(
        fmt::format("{}: the metadata key '{}' holds {} where a boolean is 0 or 1. The file is damaged: "
                    "fetch it again.",
                    reader.path(), printable(key), byte));
  }
  return byte == 1;
}

MetadataValue read_array(ByteReader& reader, std::string_view key) {
  const MetadataType type = read_type(reader, key);
  const auto count = reader.number<std::uint64_t>("an array's length");
  if (type == MetadataType::array) {
    throw InputError(
        fmt::format("{}: the metadata key '{}' holds an array of arrays, which no model needs and this "
                    "reader does not accept. Convert the model again without it.",
                    reader.path(), printable(key)));
  }
  const std::string what = "the length of the array '" + printable(key) + "'";
  if (type == MetadataType::string) {
    reader.expect_room(count, sizeof(std::uint64_t), what);
    std::vector<std::string_view> strings;
    strings.reserve(static_cast<std::size_t>(count));
    for (std::uint64_t i = 0; i < count; ++i) {
      strings.push_back(reader.text("an array's string"));
    }
    return strings;
  }
  reader.expect_room(count, number_size(type), what);
  return MetadataNumbers{type, static_cast<std::size_t>(count), reader.take(count * number_size(type), "an array")};
}

MetadataValue read_value(ByteReader& reader, MetadataType type, std::string_view key) {
  switch (type) {
    case MetadataType::uint8:
      return std::uint64_t{reader.number<std::uint8_t>("a value")};
    case MetadataType::int8:
      return std::int64_t{reader.number<std::int8_t>("a value")};
    case MetadataType::uint16:
      return std::uint64_t{reader.number<std::uint16_t>("a value")};
    case MetadataType::int16:
      return std::int64_t{reader.number<std::int16_t>("a value")};
    case MetadataType::uint32:
      return std::uint64_t{reader.number<std::uint32_t>("a value")};
    case MetadataType::int32:
      return std::int64_t{reader.number<std::int32_t>("a value")};
    case MetadataType::uint64:
      return reader.number<std::uint64_t>("a value");
    case MetadataType::int64:
      return reader.number<std::int64_t>("a value");
    case MetadataType::float32:
      return double{reader.number<float>("a value")};
    case MetadataType::float64:
      return reader.number<double>("a value");
    case MetadataType::boolean:
      return read_boolean(reader, key);
    case MetadataType::string:
      return reader.text("a string");
    case MetadataType::array:
      return read_array(reader, key);
  }
  throw InternalError("a metadata type without a reader");
}

}  // namespace

std::string_view metadata_type_name(MetadataType type) {
  constexpr std::array<std::string_view, 13> names{"uint8",  "int8",    "uint16",  "int16",  "uint32",
                                                   "int32",  "float32", "boolean", "string", "array",
                                                   "uint64", "int64",   "float64"};
  return names.at(static_cast<std::size_t>(type));
}

Metadata Metadata::read(ByteReader& reader, std::uint64_t count) {
  reader.expect_room(count, smallest_pair, "the number of metadata keys");
  Metadata metadata;
  metadata.path_ = reader.path();
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string_view key = reader.text("a metadata key");
    if (key.empty() || key.size() > longest_key) {
      throw InputError(
          fmt::format("{}: metadata key number {} is {} bytes long; 1 to {} are allowed. The file is "
                      "damaged: fetch it again.",
                      reader.path(), i, key.size(), longest_key));
    }
    MetadataValue value = read_value(reader, read_type(reader, key), key);
    if (!metadata.values_.emplace(std::string(key), std::move(value)).second) {
      throw InputError(fmt::format("{}: the metadata key '{}' occurs twice. Convert the model again.", reader.path(),
                                   printable(key)));
    }
  }
  return metadata;
}

}  // namespace chorale
