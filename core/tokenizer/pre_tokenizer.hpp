// Text into the pieces that byte pair encoding works on.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tokenizer/splitter.hpp"

namespace chorale {

/// Rules in order, each applied to every piece of the one before; no piece sees past its own ends.
struct PreTokenizer {
  std::vector<Splitter> splitters;
  /// In front of this splitter (or, equal to their number, behind the last) every piece that does not begin with a
  /// space gets one: byte-level's add_prefix_space. The default is never.
  std::size_t prefix_space_before = static_cast<std::size_t>(-1);

  /// Hands the pieces of `text` (valid UTF-8) to `use` in order. A view is valid during its call only.
  void run(std::string_view text, const std::function<void(std::string_view)>& use) const;
  /// The rules' names, for people.
  [[nodiscard]] std::string describe() const;

 private:
  void run_from(std::size_t index, std::string_view piece, const std::function<void(std::string_view)>& use) const;
};

}  // namespace chorale
