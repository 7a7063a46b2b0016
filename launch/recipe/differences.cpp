#include "launch/recipe/differences.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "launch/recipe/yaml_tree.hpp"

namespace chorale {
namespace {

using recipe::Node;

// Keys with everything below them.
constexpr std::array<std::string_view, 8> kMayChange = {"training.epochs", "training.steps", "evaluation",
                                                        "checkpoint",      "output",         "distributed",
                                                        "data.shifted",    "data.test"};

using Values = std::vector<std::pair<std::string, std::string>>;  // by dotted key, in the recipe's order

void flatten(const Node& node, const std::string& key, Values& values) {
  switch (node.kind) {
    case Node::Kind::map:
    case Node::Kind::list:
      for (std::size_t i = 0; i < node.children.size(); ++i) {
        const std::string name = node.kind == Node::Kind::map ? node.children[i].key : std::to_string(i);
        flatten(node.children[i], key.empty() ? name : fmt::format("{}.{}", key, name), values);
      }
      if (node.children.empty()) values.emplace_back(key, node.kind == Node::Kind::map ? "{}" : "[]");
      return;
    case Node::Kind::scalar:
      // Quotes tell the word null from nothing and "1" from 1.
      values.emplace_back(key, node.quoted ? fmt::format("\"{}\"", node.text) : node.text);
      return;
    default:
      values.emplace_back(key, "null");
  }
}

Values values_of(const std::string& yaml, const char* source) {
  recipe::Mistakes mistakes;
  const Node root = recipe::parse_yaml(yaml, source, nullptr, mistakes);
  mistakes.throw_if_any();
  Values values;
  flatten(root, "", values);
  return values;
}

bool may_change(const std::string& key) {
  return std::any_of(kMayChange.begin(), kMayChange.end(), [&](std::string_view allowed) {
    return key == allowed || (key.starts_with(allowed) && key[allowed.size()] == '.');
  });
}

std::string shown(const std::string& value) {
  return value.empty() ? "nothing" : printable(value, 60);
}

std::string complaint(const RecipeDifference& difference, const std::string& where) {
  if (difference.key == "ensemble.members") {
    return fmt::format(
        "{}: ensemble.members: the run has {}, the recipe {}; members can be added to a run, not taken from it. Set it "
        "to {} or more, or start another run in another output.directory",
        where, difference.before, difference.after, difference.before);
  }
  const std::string remedy =
      difference.before.empty() ? "remove it" : fmt::format("set it back to {}", shown(difference.before));
  return fmt::format("{}: {}: was {}, is now {}; it may not change on --resume: {}, or start another run", where,
                     difference.key, shown(difference.before), shown(difference.after), remedy);
}

// Every member of `before` has the learning rate in `after` that it had, whichever of the two ways it is written.
bool keeps_rates(const Recipe& before, const Recipe& after) {
  const auto rate = [](const Recipe& recipe, std::int64_t member) {
    const std::vector<double>& rates = recipe.training.learning_rate;
    return rates.size() > 1 ? rates[static_cast<std::size_t>(member)] : rates[0];
  };
  for (std::int64_t member = 0; member < before.ensemble.members; ++member) {
    if (rate(before, member) != rate(after, member)) return false;
  }
  return true;
}

// More members, and their learning rates.
bool is_growth(const std::string& key, const Recipe& before, const Recipe& after) {
  if (after.ensemble.members < before.ensemble.members) return false;
  const bool is_rate = key == "training.learning_rate" || key.starts_with("training.learning_rate.");
  return key == "ensemble.members" || (is_rate && keeps_rates(before, after));
}

Recipe stored_recipe_of(const std::string& stored, const std::string& where) {
  try {
    return load_recipe_text(stored, where);
  } catch (const UsageError& error) {
    throw UsageError(
        fmt::format("{}: the recipe this run was begun with cannot be read by this program: go on with the "
                    "one that began it, or start another run.\n{}",
                    where, error.what()));
  }
}

}  // namespace

std::vector<std::pair<std::string, std::string>> recipe_settings(const std::string& resolved_yaml) {
  return values_of(resolved_yaml, "the recipe");
}

std::vector<RecipeDifference> recipe_differences(const std::string& old_resolved_yaml,
                                                 const std::string& new_resolved_yaml) {
  const Values before = values_of(old_resolved_yaml, "the old recipe");
  const Values after = values_of(new_resolved_yaml, "the new recipe");
  std::map<std::string, std::string> left(before.begin(), before.end());
  std::vector<RecipeDifference> differences;
  for (const auto& [key, value] : after) {
    const auto old = left.find(key);
    if (old == left.end()) {
      differences.push_back({key, "", value});
      continue;
    }
    if (old->second != value) differences.push_back({key, old->second, value});
    left.erase(old);
  }
  for (const auto& [key, value] : before) {
    if (left.contains(key)) differences.push_back({key, value, ""});
  }
  return differences;
}

void check_resumable(const std::string& stored_recipe, const Recipe& recipe, const std::string& where) {
  const Recipe before = stored_recipe_of(stored_recipe, where);
  std::string complaints;
  // Both as this program writes them.
  for (const RecipeDifference& difference : recipe_differences(resolved_yaml(before), resolved_yaml(recipe))) {
    if (may_change(difference.key) || is_growth(difference.key, before, recipe)) continue;
    complaints += (complaints.empty() ? "" : "\n") + complaint(difference, where);
  }
  if (!complaints.empty()) throw UsageError(complaints);
}

}  // namespace chorale
