#include "launch/recipe/files.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>

#include "core/base/printable.hpp"

namespace chorale::recipe {
namespace {

const Node* child(const Node* map, std::string_view name) {
  return map != nullptr && map->kind == Node::Kind::map ? map->find(name) : nullptr;
}

void check_path(const Node* node, const std::string& key, bool directory_allowed, std::string_view remedy,
                Mistakes& mistakes) {
  if (node == nullptr || node->kind != Node::Kind::scalar) return;
  const std::string shown = printable(node->text, 200);
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(node->text, error);
  if (!std::filesystem::exists(status)) {
    mistakes.add(node->place, key,
                 fmt::format("there is no {} '{}' (paths count from the working directory); {}",
                             directory_allowed ? "model" : "file", shown, remedy));
  } else if (std::filesystem::is_directory(status) && !directory_allowed) {
    mistakes.add(node->place, key, fmt::format("'{}' is a directory; name a .jsonl, .csv or .tsv file in it", shown));
  } else if (access(node->text.c_str(), R_OK) != 0) {
    mistakes.add(node->place, key, fmt::format("'{}' may not be read; change its permissions", shown));
  }
}

}  // namespace

void check_files(const Node& root, Mistakes& mistakes) {
  constexpr std::string_view kDataRemedy = "prepare it (recipes/prepare/) or correct the path";
  check_path(child(child(&root, "base"), "path"), "base.path", true, "fetch it (launch/setup) or correct the path",
             mistakes);
  const Node* data = child(&root, "data");
  for (const char* name : {"train", "validation", "test"}) {
    check_path(child(child(data, name), "path"), fmt::format("data.{}.path", name), false, kDataRemedy, mistakes);
  }
  const Node* shifted = child(data, "shifted");
  if (shifted == nullptr || shifted->kind != Node::Kind::list) return;
  for (std::size_t i = 0; i < shifted->children.size(); ++i) {
    check_path(child(&shifted->children[i], "path"), fmt::format("data.shifted.{}.path", i), false, kDataRemedy,
               mistakes);
  }
}

}  // namespace chorale::recipe
