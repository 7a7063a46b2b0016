// All mistakes of a recipe, collected so that a user mends them in one go.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace chorale::recipe {

/// Where a value was written: a spot in a file, or an override as a whole (line 0).
struct Place {
  std::shared_ptr<const std::string> source;
  std::size_t line = 0;    // 1-based
  std::size_t column = 0;  // 1-based, in bytes
};

/// "recipe.yaml:12:7", or "override 'training.epochs=x'".
[[nodiscard]] std::string to_string(const Place& place);

class Mistakes {
 public:
  /// `key` is the dotted path of what is wrong (may be empty), `message` says what and the remedy.
  void add(const Place& place, std::string_view key, std::string_view message);
  [[nodiscard]] std::size_t count() const { return entries_.size(); }
  /// One line per mistake in the order of the file, then of the overrides. Long lists are cut with a count.
  [[nodiscard]] std::string text() const;
  /// Throws UsageError with text() when there is any mistake.
  void throw_if_any() const;

 private:
  struct Entry {
    Place place;
    std::string line;
  };
  std::vector<Entry> entries_;
};

}  // namespace chorale::recipe
