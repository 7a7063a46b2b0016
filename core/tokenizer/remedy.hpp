// What to do about a tokenizer that cannot be used, as the last sentence of the message.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace chorale {

/// `message` with a remedy: another model where a kind is not read ("Supported: ..."), the file anew where it is
/// damaged. A message of several sentences that ends with a period brings its own.
[[nodiscard]] inline std::string with_tokenizer_remedy(std::string_view message) {
  if (message.find("Supported: ") != message.npos) {
    return fmt::format("{} Choose a model with such a tokenizer.", message);
  }
  if (message.ends_with('.')) return std::string(message);
  return fmt::format("{}. The tokenizer is damaged or of another kind: fetch it again, or choose another model.",
                     message);
}

}  // namespace chorale
