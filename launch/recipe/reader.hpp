// Reads one map of the recipe: known keys, strict types, ranges; every mistake is noted and reading goes on.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launch/recipe/mistakes.hpp"
#include "launch/recipe/names.hpp"
#include "launch/recipe/schema.hpp"
#include "launch/recipe/yaml_tree.hpp"

namespace chorale::recipe {

/// The numbers a key accepts. The words stand in the message: "must be a number above 0".
struct NumberRange {
  double low;
  bool low_included;
  double high;
  bool high_included;
  std::string_view words;

  [[nodiscard]] bool holds(double value) const {
    return (low_included ? value >= low : value > low) && (high_included ? value <= high : value < high);
  }
};

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr NumberRange kPositive{0, false, kInfinity, false, "above 0"};
inline constexpr NumberRange kNotNegative{0, true, kInfinity, false, "of 0 or more"};
inline constexpr NumberRange kShare{0, true, 1, true, "between 0 and 1"};
inline constexpr NumberRange kShareBelowOne{0, true, 1, false, "of at least 0 and below 1"};
inline constexpr NumberRange kShareInside{0, false, 1, false, "above 0 and below 1"};

/// Functions that take a key leave the value as it is (the default) when the key is absent or wrong. Asking for a key
/// that is not in the section's table is our bug.
class Reader {
 public:
  /// Checks that `map` is a map and its keys are known. `path` is the dotted path for messages ("" for the recipe).
  Reader(const Node& map, const Section& section, std::string path, Mistakes& mistakes);

  /// The value under `name`, or nullptr when absent or broken.
  [[nodiscard]] const Node* find(std::string_view name) const;
  /// Present and not null.
  [[nodiscard]] bool given(std::string_view name) const;
  /// Notes a mistake when `name` is absent; true when something stands there.
  bool require(std::string_view name, std::string_view remedy);

  void boolean(std::string_view name, bool& value);
  void integer(std::string_view name, std::int64_t& value, std::int64_t low, std::int64_t high);
  /// A whole number, or `word`, which stands for 0.
  void integer_or(std::string_view word, std::string_view name, std::int64_t& value, std::int64_t low,
                  std::int64_t high);
  void number(std::string_view name, double& value, const NumberRange& range);
  /// Text on one line, not blank.
  void line(std::string_view name, std::string& value);
  /// Text of any length, not blank.
  void text(std::string_view name, std::string& value);

  template <typename Value, std::size_t Count>
  void choice(std::string_view name, Value& value, const Names<Value, Count>& names) {
    std::vector<std::string_view> words;
    for (const auto& entry : names) words.push_back(entry.first);
    const Node* node = find(name);
    if (node == nullptr) return;
    if (const auto index = one_of(*node, path_of(name), words)) value = names[*index].second;
  }

  /// A reader for the map under `name`, or nothing when absent. An empty section is a mistake.
  [[nodiscard]] std::optional<Reader> section(std::string_view name, const Section& section);

  /// The items of the list under `name`, or nullptr when absent or no list (a mistake).
  [[nodiscard]] const std::vector<Node>* list(std::string_view name);

  // The same checks on a node that is not directly a key's value (items of lists, values of several types).
  std::optional<std::int64_t> integer_of(const Node& node, const std::string& path, std::int64_t low,
                                         std::int64_t high);
  std::optional<double> number_of(const Node& node, const std::string& path, const NumberRange& range);
  std::optional<std::string> text_of(const Node& node, const std::string& path, bool one_line);
  std::optional<std::size_t> one_of(const Node& node, const std::string& path,
                                    const std::vector<std::string_view>& words);

  /// "training.epochs" for "epochs".
  [[nodiscard]] std::string path_of(std::string_view name) const;
  /// Notes a mistake at the value of `name`, or at the section when the key is absent.
  void mistake(std::string_view name, std::string_view message);
  void mistake_at(const Node& node, std::string_view path, std::string_view message);
  [[nodiscard]] Mistakes& mistakes() { return *mistakes_; }

 private:
  void check_keys();
  [[nodiscard]] std::string unknown_key_message(const std::string& name) const;

  const Node* map_;
  const Section* section_;
  std::string path_;
  Mistakes* mistakes_;
};

}  // namespace chorale::recipe
