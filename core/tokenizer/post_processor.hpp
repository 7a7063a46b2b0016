// What a tokenizer puts around the ids of one text.
#pragma once

#include <string>
#include <vector>

#include "core/tokenizer/tokenizer.hpp"

namespace chorale {

/// A template for a single sequence: ids in front of it and behind it.
struct SequenceTemplate {
  std::vector<TokenId> before;
  std::vector<TokenId> behind;

  [[nodiscard]] bool empty() const { return before.empty() && behind.empty(); }
};

}  // namespace chorale
