#include "launch/recipe/reader.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/nearest.hpp"
#include "core/base/printable.hpp"
#include "launch/recipe/scalars.hpp"

namespace chorale::recipe {
namespace {

// What stands at a node, for "must be ..., not ...".
std::string found(const Node& node) {
  if (node.kind != Node::Kind::scalar) return std::string(kind_name(node));
  return fmt::format("'{}'{}", printable(node.text, 60), node.quoted ? " in quotes" : "");
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\n\r") == std::string::npos;
}

bool has_control(const std::string& text, bool one_line) {
  return std::any_of(text.begin(), text.end(), [one_line](unsigned char c) {
    return c == 0x7f || (c < 0x20 && (one_line || (c != '\n' && c != '\t')));
  });
}

}  // namespace

Reader::Reader(const Node& map, const Section& section, std::string path, Mistakes& mistakes)
    : map_(&map), section_(&section), path_(std::move(path)), mistakes_(&mistakes) {
  if (map.kind == Node::Kind::map) {
    check_keys();
  } else if (map.kind != Node::Kind::broken) {
    std::vector<std::string_view> names;
    for (const Key& key : section.keys) names.push_back(key.name);
    mistake_at(map, path_, fmt::format("is {}, must be a map of keys: {}", kind_name(map), fmt::join(names, ", ")));
  }
}

void Reader::check_keys() {
  for (const Node& child : map_->children) {
    const bool known = std::any_of(section_->keys.begin(), section_->keys.end(),
                                   [&](const Key& key) { return key.name == child.key; });
    if (known || child.key.starts_with('?')) continue;  // '?': no word, already a mistake
    mistakes_->add(child.key_place, path_of(printable(child.key, 60)), unknown_key_message(child.key));
  }
}

std::string Reader::unknown_key_message(const std::string& name) const {
  std::vector<std::string_view> names;
  for (const Key& key : section_->keys) names.push_back(key.name);
  for (const Section* other : all_sections()) {
    for (const Key& key : other->keys) {
      if (key.name != name) continue;
      return other->path.empty()
                 ? std::string("unknown key here; it belongs at the top of the recipe: move it, or remove it")
                 : fmt::format("unknown key here; it belongs to '{}': move it, or remove it", other->path);
    }
  }
  const std::string near = nearest(name, std::span<const std::string_view>(names));
  if (!near.empty()) return fmt::format("unknown key; did you mean '{}'?", near);
  return fmt::format("unknown key; use one of those known here: {}", fmt::join(names, ", "));
}

const Node* Reader::find(std::string_view name) const {
  const bool known =
      std::any_of(section_->keys.begin(), section_->keys.end(), [&](const Key& key) { return key.name == name; });
  CHORALE_ASSERT(known, fmt::format("'{}' is not in the table of section '{}'", name, section_->path));
  const Node* node = map_->kind == Node::Kind::map ? map_->find(name) : nullptr;
  return node == nullptr || node->kind == Node::Kind::broken ? nullptr : node;
}

bool Reader::given(std::string_view name) const {
  const Node* node = find(name);
  return node != nullptr && node->kind != Node::Kind::null;
}

bool Reader::require(std::string_view name, std::string_view remedy) {
  if (map_->kind != Node::Kind::map) return false;
  if (map_->find(name) != nullptr) return true;
  mistakes_->add(map_->place, path_of(name), fmt::format("is missing; {}", remedy));
  return false;
}

void Reader::boolean(std::string_view name, bool& value) {
  const Node* node = find(name);
  if (node == nullptr) return;
  const auto parsed =
      node->kind == Node::Kind::scalar && !node->quoted ? parse_boolean(node->text) : std::optional<bool>();
  if (parsed) {
    value = *parsed;
  } else {
    mistake(name, fmt::format("must be true or false, not {}", found(*node)));
  }
}

void Reader::integer(std::string_view name, std::int64_t& value, std::int64_t low, std::int64_t high) {
  if (const Node* node = find(name)) value = integer_of(*node, path_of(name), low, high).value_or(value);
}

void Reader::integer_or(std::string_view word, std::string_view name, std::int64_t& value, std::int64_t low,
                        std::int64_t high) {
  const Node* node = find(name);
  if (node == nullptr) return;
  const auto parsed =
      node->kind == Node::Kind::scalar && !node->quoted ? parse_integer(node->text) : std::optional<std::int64_t>();
  if (parsed && *parsed >= low && *parsed <= high) {
    value = *parsed;
  } else if (node->kind == Node::Kind::scalar && node->text == word) {
    value = 0;
  } else {
    mistake(name, fmt::format("must be {} or a whole number from {} to {}, not {}", word, low, high, found(*node)));
  }
}

void Reader::number(std::string_view name, double& value, const NumberRange& range) {
  if (const Node* node = find(name)) value = number_of(*node, path_of(name), range).value_or(value);
}

void Reader::line(std::string_view name, std::string& value) {
  if (const Node* node = find(name)) value = text_of(*node, path_of(name), true).value_or(value);
}

void Reader::text(std::string_view name, std::string& value) {
  if (const Node* node = find(name)) value = text_of(*node, path_of(name), false).value_or(value);
}

std::optional<Reader> Reader::section(std::string_view name, const Section& section) {
  const Node* node = find(name);
  if (node == nullptr) return std::nullopt;
  return Reader(*node, section, path_of(name), *mistakes_);
}

const std::vector<Node>* Reader::list(std::string_view name) {
  const Node* node = find(name);
  if (node == nullptr) return nullptr;
  if (node->kind == Node::Kind::list) return &node->children;
  mistake(name, fmt::format("must be a list such as [a, b], not {}", found(*node)));
  return nullptr;
}

std::optional<std::int64_t> Reader::integer_of(const Node& node, const std::string& path, std::int64_t low,
                                               std::int64_t high) {
  if (node.kind == Node::Kind::broken) return std::nullopt;
  const auto value =
      node.kind == Node::Kind::scalar && !node.quoted ? parse_integer(node.text) : std::optional<std::int64_t>();
  if (value && *value >= low && *value <= high) return value;
  mistake_at(node, path, fmt::format("must be a whole number from {} to {}, not {}", low, high, found(node)));
  return std::nullopt;
}

std::optional<double> Reader::number_of(const Node& node, const std::string& path, const NumberRange& range) {
  if (node.kind == Node::Kind::broken) return std::nullopt;
  const auto value =
      node.kind == Node::Kind::scalar && !node.quoted ? parse_number(node.text) : std::optional<double>();
  if (value && range.holds(*value)) return value;
  mistake_at(node, path, fmt::format("must be a number {}, not {}", range.words, found(node)));
  return std::nullopt;
}

std::optional<std::string> Reader::text_of(const Node& node, const std::string& path, bool one_line) {
  if (node.kind == Node::Kind::broken) return std::nullopt;
  if (node.kind != Node::Kind::scalar) {
    mistake_at(node, path, fmt::format("must be text, not {}; text with {{, [ or : goes in quotes", found(node)));
  } else if (!node.quoted && !typed_look(node.text).empty()) {
    mistake_at(node, path,
               fmt::format("must be text, but {} is {}; put it in quotes: \"{}\"", node.text, typed_look(node.text),
                           node.text));
  } else if (is_blank(node.text)) {
    mistake_at(node, path, "is blank; write the text, or remove the key");
  } else if (has_control(node.text, one_line)) {
    mistake_at(node, path, fmt::format("holds control characters ({}); remove them", printable(node.text, 60)));
  } else {
    return node.text;
  }
  return std::nullopt;
}

std::optional<std::size_t> Reader::one_of(const Node& node, const std::string& path,
                                          const std::vector<std::string_view>& words) {
  if (node.kind == Node::Kind::broken) return std::nullopt;
  if (node.kind == Node::Kind::scalar) {
    const auto match = std::find(words.begin(), words.end(), node.text);
    if (match != words.end()) return static_cast<std::size_t>(match - words.begin());
  }
  const std::string near =
      node.kind == Node::Kind::scalar ? nearest(node.text, std::span<const std::string_view>(words)) : std::string();
  mistake_at(node, path,
             fmt::format("must be {}{}, not {}{}", words.size() > 1 ? "one of " : "", fmt::join(words, ", "),
                         found(node), near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
  return std::nullopt;
}

std::string Reader::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void Reader::mistake(std::string_view name, std::string_view message) {
  const Node* node = map_->kind == Node::Kind::map ? map_->find(name) : nullptr;
  mistake_at(node == nullptr ? *map_ : *node, path_of(name), message);
}

void Reader::mistake_at(const Node& node, std::string_view path, std::string_view message) {
  mistakes_->add(node.place, path, message);
}

}  // namespace chorale::recipe
