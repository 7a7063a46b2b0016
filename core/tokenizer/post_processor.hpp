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
  /// Puts this template around what `inner` gives.
  void wrap(const SequenceTemplate& inner) {
    before.insert(before.end(), inner.before.begin(), inner.before.end());
    behind.insert(behind.begin(), inner.behind.begin(), inner.behind.end());
  }
};

}  // namespace chorale
