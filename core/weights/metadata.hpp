// The typed key-value pairs in front of a GGUF file's tensors: hyperparameters and the tokenizer's vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/weights/byte_reader.hpp"

namespace chorale {

/// Value types with the numbers the format gives them.
enum class MetadataType : std::uint32_t {
  uint8 = 0,
  int8 = 1,
  uint16 = 2,
  int16 = 3,
  uint32 = 4,
  int32 = 5,
  float32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  uint64 = 10,
  int64 = 11,
  float64 = 12,
};

[[nodiscard]] std::string_view metadata_type_name(MetadataType type);

/// Elements of an array of numbers or booleans as they lie in the file (unaligned).
struct MetadataNumbers {
  MetadataType type = MetadataType::uint8;
  std::size_t count = 0;
  std::span<const std::byte> bytes;
};

/// Integers are widened; strings and arrays point into the mapped file.
using MetadataValue = std::variant<bool, std::uint64_t, std::int64_t, double, std::string_view,
                                   std::vector<std::string_view>, MetadataNumbers>;

/// The metadata of one file. Getters come in two kinds: `get_*` throws InputError naming file and key when the key is
/// absent or of another type; `find_*` returns nothing when it is absent and throws on another type. Integers convert
/// between widths and signs when the value fits; no other conversion takes place.
class Metadata {
 public:
  /// Reads `count` pairs, checking every length, type and duplicate key.
  static Metadata read(ByteReader& reader, std::uint64_t count);

  [[nodiscard]] const MetadataValue* find(std::string_view key) const;
  [[nodiscard]] const std::map<std::string, MetadataValue, std::less<>>& values() const { return values_; }

  [[nodiscard]] std::string_view get_string(std::string_view key) const;
  [[nodiscard]] std::uint64_t get_unsigned(std::string_view key) const;
  [[nodiscard]] double get_float(std::string_view key) const;
  [[nodiscard]] bool get_bool(std::string_view key) const;
  [[nodiscard]] const std::vector<std::string_view>& get_strings(std::string_view key) const;
  [[nodiscard]] std::vector<std::int64_t> get_integers(std::string_view key) const;
  [[nodiscard]] std::vector<float> get_floats(std::string_view key) const;

  [[nodiscard]] std::optional<std::string_view> find_string(std::string_view key) const;
  [[nodiscard]] std::optional<std::uint64_t> find_unsigned(std::string_view key) const;
  [[nodiscard]] std::optional<double> find_float(std::string_view key) const;
  [[nodiscard]] std::optional<bool> find_bool(std::string_view key) const;
  /// nullptr when absent.
  [[nodiscard]] const std::vector<std::string_view>* find_strings(std::string_view key) const;
  [[nodiscard]] std::optional<std::vector<std::int64_t>> find_integers(std::string_view key) const;
  [[nodiscard]] std::optional<std::vector<float>> find_floats(std::string_view key) const;

  /// "uint32", "array of 49152 strings", ... for messages and listings.
  [[nodiscard]] static std::string describe(const MetadataValue& value);

 private:
  template <typename Type>
  [[nodiscard]] const Type* find_as(std::string_view key, std::string_view expected) const;
  [[noreturn]] void absent(std::string_view key) const;
  [[noreturn]] void wrong_type(std::string_view key, std::string_view expected, const MetadataValue& found) const;

  std::string path_;
  std::map<std::string, MetadataValue, std::less<>> values_;
};

}  // namespace chorale
