// What a tokenizer says about itself to people.
#include <fmt/format.h>

#include <algorithm>

#include "core/base/printable.hpp"
#include "core/tokenizer/byte_level_tokenizer.hpp"

namespace chorale {

std::string ByteLevelTokenizer::describe() const {
  const auto named = [&](const char* role, std::optional<TokenId> id) {
    const std::string* text = id ? text_of(*id) : nullptr;
    return text == nullptr ? fmt::format("no {}", role) : fmt::format("{} {} ({})", role, printable(*text), *id);
  };
  const auto& added = parts_.added.all();
  const auto special = std::count_if(added.begin(), added.end(), [](const AddedToken& token) { return token.special; });
  std::string line =
      fmt::format("byte-level BPE ({}): {} tokens, {} merges; {}; pieces: {}; {} special", parts_.origin, vocabulary(),
                  parts_.model->merges(), parts_.normalization == Normalization::nfc ? "NFC" : "no normalisation",
                  parts_.pre_tokenizer.describe(), special);
  if (const auto others = static_cast<std::ptrdiff_t>(added.size()) - special; others > 0) {
    line += fmt::format(" and {} other added", others);
  }
  line += fmt::format("; {}, {}", named("bos", parts_.bos), named("eos", parts_.eos));
  if (!parts_.sequence_template.empty()) {
    line += fmt::format("; adds {} before and {} behind a text", parts_.sequence_template.before.size(),
                        parts_.sequence_template.behind.size());
  }
  if (const std::size_t missing = parts_.model->missing_bytes(); missing > 0) {
    line += fmt::format("; {} bytes without a token", missing);
  }
  return line;
}

std::string dropped_bytes_warning(const Tokenizer& tokenizer) {
  const std::uint64_t dropped = tokenizer.dropped_bytes();
  if (dropped == 0) {
    return {};
  }
  return fmt::format("{} {} of the texts {} no token in this vocabulary and {} dropped: the model does not see {}.",
                     dropped, dropped == 1 ? "byte" : "bytes", dropped == 1 ? "has" : "have",
                     dropped == 1 ? "was" : "were", dropped == 1 ? "it" : "them");
}

}  // namespace chorale
