// A YAML document as a strict tree that remembers where everything was written.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launch/recipe/mistakes.hpp"

namespace chorale::recipe {

struct Node {
  enum class Kind { null, scalar, list, map, broken };  // broken: a mistake was reported here, stay silent

  Kind kind = Kind::null;
  Place place;
  std::string text;            // of a scalar
  bool quoted = false;         // a scalar in quotes or a block is text, whatever it looks like
  std::vector<Node> children;  // items of a list, values of a map
  std::string key;             // of a value in a map
  Place key_place;

  /// The value under `name` of a map, or nullptr.
  [[nodiscard]] const Node* find(std::string_view name) const;
  [[nodiscard]] Node* find(std::string_view name);
};

/// "a list", "a map", "empty", ... for messages.
[[nodiscard]] std::string_view kind_name(const Node& node);

/// Parses one YAML document. Limits: 1 MiB, 64 levels, one document; aliases, anchors, tags, duplicate keys, keys that
/// are no words, control characters and bytes that are not UTF-8 are mistakes. With `place_of_all` set, everything is
/// placed there (the value of an override), otherwise at `source`:line:column.
[[nodiscard]] Node parse_yaml(std::string_view text, const std::string& source, const Place* place_of_all,
                              Mistakes& mistakes);

}  // namespace chorale::recipe
