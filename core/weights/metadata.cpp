#include "core/weights/metadata.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/nearest.hpp"
#include "core/base/printable.hpp"

namespace chorale {
namespace {

template <typename Number>
void widen(const MetadataNumbers& numbers, std::vector<std::int64_t>& out) {
  for (std::size_t i = 0; i < numbers.count; ++i) {
    Number value;
    std::memcpy(&value, numbers.bytes.data() + i * sizeof(Number), sizeof(Number));
    out.push_back(static_cast<std::int64_t>(value));
  }
}

std::string_view value_type(const MetadataValue& value) {
  constexpr std::array<std::string_view, 5> names{"a boolean", "an unsigned integer", "a signed integer", "a float",
                                                  "a string"};
  return value.index() < names.size() ? names.at(value.index()) : std::string_view("an array");
}

}  // namespace

const MetadataValue* Metadata::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

void Metadata::absent(std::string_view key) const {
  std::vector<std::string_view> keys;
  for (const auto& entry : values_) {
    keys.push_back(entry.first);
  }
  throw InputError(
      fmt::format("{}: the metadata key '{}' is missing.{} Convert the model again with a current converter.", path_,
                  key, did_you_mean(key, std::span<const std::string_view>(keys))));
}

void Metadata::wrong_type(std::string_view key, std::string_view expected, const MetadataValue& found) const {
  throw InputError(
      fmt::format("{}: the metadata key '{}' holds {} where {} is expected. Convert the model again with a "
                  "current converter.",
                  path_, key, describe(found), expected));
}

template <typename Type>
const Type* Metadata::find_as(std::string_view key, std::string_view expected) const {
  const MetadataValue* value = find(key);
  if (value == nullptr) {
    return nullptr;
  }
  const Type* typed = std::get_if<Type>(value);
  if (typed == nullptr) {
    wrong_type(key, expected, *value);
  }
  return typed;
}

std::optional<std::string_view> Metadata::find_string(std::string_view key) const {
  const auto* value = find_as<std::string_view>(key, "a string");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<bool> Metadata::find_bool(std::string_view key) const {
  const bool* value = find_as<bool>(key, "a boolean");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<double> Metadata::find_float(std::string_view key) const {
  const double* value = find_as<double>(key, "a float");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<std::uint64_t> Metadata::find_unsigned(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (const auto* number = std::get_if<std::uint64_t>(value)) {
    return *number;
  }
  if (const auto* number = std::get_if<std::int64_t>(value); number != nullptr && *number >= 0) {
    return static_cast<std::uint64_t>(*number);
  }
  wrong_type(key, "an integer that is not negative", *value);
}

const std::vector<std::string_view>* Metadata::find_strings(std::string_view key) const {
  return find_as<std::vector<std::string_view>>(key, "an array of strings");
}

std::optional<std::vector<std::int64_t>> Metadata::find_integers(std::string_view key) const {
  const auto* numbers = find_as<MetadataNumbers>(key, "an array of integers");
  if (numbers == nullptr) {
    return std::nullopt;
  }
  std::vector<std::int64_t> out;
  out.reserve(numbers->count);
  switch (numbers->type) {
    case MetadataType::uint8:
      widen<std::uint8_t>(*numbers, out);
      return out;
    case MetadataType::int8:
      widen<std::int8_t>(*numbers, out);
      return out;
    case MetadataType::uint16:
      widen<std::uint16_t>(*numbers, out);
      return out;
    case MetadataType::int16:
      widen<std::int16_t>(*numbers, out);
      return out;
    case MetadataType::uint32:
      widen<std::uint32_t>(*numbers, out);
      return out;
    case MetadataType::int32:
      widen<std::int32_t>(*numbers, out);
      return out;
    case MetadataType::int64:
      widen<std::int64_t>(*numbers, out);
      return out;
    default:
      wrong_type(key, "an array of integers", *find(key));
  }
}

std::optional<std::vector<float>> Metadata::find_floats(std::string_view key) const {
  const auto* numbers = find_as<MetadataNumbers>(key, "an array of float32");
  if (numbers == nullptr) {
    return std::nullopt;
  }
  if (numbers->type != MetadataType::float32) {
    wrong_type(key, "an array of float32", *find(key));
  }
  std::vector<float> out(numbers->count);
  if (!out.empty()) {
    std::memcpy(out.data(), numbers->bytes.data(), numbers->bytes.size());
  }
  return out;
}

std::string_view Metadata::get_string(std::string_view key) const {
  const auto value = find_string(key);
  return value ? *value : (absent(key), std::string_view());
}

std::uint64_t Metadata::get_unsigned(std::string_view key) const {
  const auto value = find_unsigned(key);
  return value ? *value : (absent(key), 0);
}

double Metadata::get_float(std::string_view key) const {
  const auto value = find_float(key);
  return value ? *value : (absent(key), 0.0);
}

bool Metadata::get_bool(std::string_view key) const {
  const auto value = find_bool(key);
  return value ? *value : (absent(key), false);
}

const std::vector<std::string_view>& Metadata::get_strings(std::string_view key) const {
  const auto* value = find_strings(key);
  if (value == nullptr) {
    absent(key);
  }
  return *value;
}

std::vector<std::int64_t> Metadata::get_integers(std::string_view key) const {
  auto value = find_integers(key);
  return value ? std::move(*value) : (absent(key), std::vector<std::int64_t>());
}

std::vector<float> Metadata::get_floats(std::string_view key) const {
  auto value = find_floats(key);
  return value ? std::move(*value) : (absent(key), std::vector<float>());
}

std::string Metadata::describe(const MetadataValue& value) {
  if (const auto* strings = std::get_if<std::vector<std::string_view>>(&value)) {
    return fmt::format("an array of {} strings", strings->size());
  }
  if (const auto* numbers = std::get_if<MetadataNumbers>(&value)) {
    return fmt::format("an array of {} {}", numbers->count, metadata_type_name(numbers->type));
  }
  return std::string(value_type(value));
}

}  // namespace chorale
