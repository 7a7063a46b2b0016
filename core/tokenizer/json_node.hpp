// A value inside a JSON file that knows its file and its key, so that every complaint names both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace chorale {

/// Reads and parses the JSON file at `path`. InputError naming the file and the place of what is
/// not JSON, or of a key that comes twice.
[[nodiscard]] nlohmann::json read_json_file(const std::string& path);

/// A view; file and document must live longer.
class JsonNode {
 public:
  JsonNode(const nlohmann::json& value, const std::string& file, std::string key = "")
      : value_(&value), file_(&file), key_(std::move(key)) {}

  /// The member `name` of this object; InputError when this is no object or has none.
  [[nodiscard]] JsonNode at(const std::string& name) const;
  /// The same, but nothing when it is absent or null.
  [[nodiscard]] std::optional<JsonNode> find(const std::string& name) const;
  /// Number of elements of this array; InputError when it is none.
  [[nodiscard]] std::size_t array_size() const;
  [[nodiscard]] JsonNode element(std::size_t index) const;

  [[nodiscard]] const std::string& string() const;
  [[nodiscard]] bool boolean() const;
  /// An integer that fits 32 bits.
  [[nodiscard]] std::int32_t integer() const;
  /// The member `name` as a boolean, `otherwise` when absent or null.
  [[nodiscard]] bool boolean_or(const std::string& name, bool otherwise) const;

  [[nodiscard]] const nlohmann::json& value() const { return *value_; }
  [[nodiscard]] const std::string& key() const { return key_; }
  /// Throws InputError "<file>: <key>: <message>".
  [[noreturn]] void fail(std::string_view message) const;

 private:
  [[noreturn]] void wrong_type(std::string_view expected) const;

  const nlohmann::json* value_;
  const std::string* file_;
  std::string key_;
};

}  // namespace chorale
