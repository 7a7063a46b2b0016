#include "launch/recipe/overrides.hpp"

#include <fmt/format.h>

#include <memory>
#include <utility>
#include <vector>

#include "launch/recipe/scalars.hpp"

namespace chorale::recipe {
namespace {

std::vector<std::string> split_key(const std::string& key) {
  std::vector<std::string> parts(1);
  for (const char c : key) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

Node& child_of_map(Node& map, const std::string& name, const Place& place) {
  if (Node* found = map.find(name)) return *found;
  Node child;
  child.place = place;
  child.key = name;
  child.key_place = place;
  map.children.push_back(std::move(child));
  return map.children.back();
}

}  // namespace

void apply_override(Node& root, const std::string& text, Mistakes& mistakes) {
  const Place place{std::make_shared<const std::string>(fmt::format("override '{}'", text)), 0, 0};
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    mistakes.add(place, "", "not of the form key=value; write e.g. training.epochs=1");
    return;
  }
  const std::string key = text.substr(0, equals);
  const std::string value_text = text.substr(equals + 1);
  if (value_text.find_first_not_of(" \t\n") == std::string::npos) {
    mistakes.add(place, key, "no value after '='; write a value, null, or '\"\"'");
    return;
  }
  Node* at = &root;
  std::string path;
  for (const std::string& part : split_key(key)) {
    if (part.empty()) {
      mistakes.add(place, key, "the key has an empty part; write names joined by single dots");
      return;
    }
    if (at->kind == Node::Kind::null) at->kind = Node::Kind::map;
    if (at->kind == Node::Kind::list) {
      const auto index = parse_unsigned(part);
      if (!index || *index >= at->children.size()) {
        mistakes.add(place, key,
                     fmt::format("{} is a list of {} items; give an index from 0, or set the whole list with {}=[...]",
                                 path, at->children.size(), path));
        return;
      }
      at = &at->children[*index];
    } else if (at->kind == Node::Kind::map) {
      at = &child_of_map(*at, part, place);
    } else {
      if (at->kind == Node::Kind::scalar) {
        mistakes.add(place, key,
                     fmt::format("{0} is a single value, it has no key '{1}'; write {0}=VALUE", path, part));
      }
      return;
    }
    path += (path.empty() ? "" : ".") + part;
  }
  Node value = parse_yaml(value_text, *place.source, &place, mistakes);
  value.key = at->key;
  value.key_place = at->key_place;
  *at = std::move(value);
}

}  // namespace chorale::recipe
