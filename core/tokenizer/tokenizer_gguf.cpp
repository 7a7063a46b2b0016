#include "core/tokenizer/tokenizer_gguf.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/base/utf8.hpp"
#include "core/tokenizer/byte_level_tokenizer.hpp"
#include "core/tokenizer/known_patterns.hpp"
#include "core/tokenizer/pattern_syntax.hpp"
#include "core/tokenizer/remedy.hpp"

namespace chorale {

namespace {

constexpr std::int64_t control_token = 3;
constexpr std::int64_t user_defined_token = 4;

constexpr std::array<GgufPreTokenizer, 6> known_pre_tokenizers{{
    {"smollm", "GPT-2 pattern", gpt2_pattern, true},
    {"gpt-2", "GPT-2 pattern", gpt2_pattern},
    {"llama-bpe", "Llama 3 pattern", llama3_pattern, false, false, true, true},
    {"llama3", "Llama 3 pattern", llama3_pattern, false, false, true, true},
    {"llama-v3", "Llama 3 pattern", llama3_pattern, false, false, true, true},
    {"qwen2", "Qwen 2 pattern", qwen2_pattern, false, true},
}};

[[noreturn]] void fail(const std::string& path, std::string_view key, std::string_view message) {
  throw InputError(fmt::format("{}: {}: {}", path, key, with_tokenizer_remedy(message)));
}

PreTokenizer build_pre_tokenizer(const GgufPreTokenizer& known) {
  PreTokenizer built;
  if (known.single_digits_first) {
    built.splitters.push_back({find_digits(), SplitBehaviour::isolated, false, "single digits"});
  }
  built.splitters.push_back({find_pattern(Pattern(to_pcre2_syntax(known.pattern))), SplitBehaviour::isolated, false,
                             std::string(known.title)});
  return built;
}

std::shared_ptr<const Vocabulary> read_vocabulary(const Metadata& metadata, const std::string& path) {
  constexpr std::string_view key = "tokenizer.ggml.tokens";
  const auto& tokens = metadata.get_strings(key);
  if (tokens.empty() || tokens.size() > static_cast<std::size_t>(Vocabulary::largest_id) + 1) {
    fail(path, key, fmt::format("holds {} tokens, expected 1..{}", tokens.size(), Vocabulary::largest_id + 1));
  }
  auto vocabulary = std::make_shared<Vocabulary>();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    try {
      require_utf8(tokens[i], fmt::format("token {}", i));
      vocabulary->add(static_cast<TokenId>(i), std::string(tokens[i]));
    } catch (const InputError& error) {
      fail(path, key, error.what());
    }
  }
  return vocabulary;
}

std::unique_ptr<const BpeModel> read_merges(const Metadata& metadata, const std::string& path,
                                            std::shared_ptr<const Vocabulary> vocabulary, BpeOptions options) {
  constexpr std::string_view key = "tokenizer.ggml.merges";
  auto model = std::make_unique<BpeModel>(std::move(vocabulary), options);
  for (const std::string_view merge : metadata.get_strings(key)) {
    const std::size_t space = merge.find(' ');
    if (space == std::string_view::npos || merge.find(' ', space + 1) != std::string_view::npos) {
      fail(path, key,
           fmt::format("merge {} is '{}': exactly one space separates the halves", model->merges(), printable(merge)));
    }
    try {
      model->add_merge({merge.substr(0, space), merge.substr(space + 1)});
    } catch (const InputError& error) {
      fail(path, key, error.what());
    }
  }
  return model;
}

std::vector<AddedToken> read_added(const Metadata& metadata, const std::string& path, const Vocabulary& vocabulary) {
  constexpr std::string_view key = "tokenizer.ggml.token_type";
  std::vector<AddedToken> added;
  const auto types = metadata.find_integers(key);
  if (!types) {
    return added;
  }
  if (types->size() != vocabulary.size()) {
    fail(path, key, fmt::format("holds {} types for {} tokens", types->size(), vocabulary.size()));
  }
  for (std::size_t i = 0; i < types->size(); ++i) {
    const std::int64_t type = (*types)[i];
    if (type != control_token && type != user_defined_token) {
      continue;
    }
    AddedToken token;
    token.id = static_cast<TokenId>(i);
    token.text = *vocabulary.text(token.id);
    token.special = type == control_token;
    if (token.text.empty()) {
      fail(path, key, fmt::format("token {} is empty but marked to be looked for in the text", i));
    }
    added.push_back(std::move(token));
  }
  return added;
}

std::optional<TokenId> read_id(const Metadata& metadata, const std::string& path, std::string_view key,
                               const Vocabulary& vocabulary) {
  const auto id = metadata.find_unsigned(key);
  if (!id) {
    return std::nullopt;
  }
  if (*id >= vocabulary.size()) {
    fail(path, key, fmt::format("{} is outside the vocabulary of {} tokens", *id, vocabulary.size()));
  }
  return static_cast<TokenId>(*id);
}

/// Adds `id` to one side of the template when the file's switch, or the pre-tokeniser's habit, says so.
void add_end(const Metadata& metadata, const std::string& path, std::string_view key, bool otherwise,
             std::optional<TokenId> id, std::vector<TokenId>& side) {
  if (!metadata.find_bool(key).value_or(otherwise)) {
    return;
  }
  if (!id) {
    fail(path, key, "is on, but the file does not say which token that is");
  }
  side.push_back(*id);
}

}  // namespace

const GgufPreTokenizer& gguf_pre_tokenizer(const Metadata& metadata, const std::string& path) {
  const std::string_view name = metadata.get_string("tokenizer.ggml.pre");
  const auto found = std::find_if(known_pre_tokenizers.begin(), known_pre_tokenizers.end(),
                                  [&](const GgufPreTokenizer& known) { return known.name == name; });
  if (found == known_pre_tokenizers.end()) {
    std::string names;
    for (const GgufPreTokenizer& known : known_pre_tokenizers) {
      names += fmt::format("{}{}", names.empty() ? "" : ", ", known.name);
    }
    fail(path, "tokenizer.ggml.pre",
         fmt::format("'{}' is not read. Supported: {}. Use the model's Hugging Face directory with its tokenizer.json.",
                     printable(name), names));
  }
  return *found;
}

std::unique_ptr<Tokenizer> read_gguf_tokenizer(const Metadata& metadata, const std::string& path) {
  if (const std::string_view kind = metadata.get_string("tokenizer.ggml.model"); kind != "gpt2") {
    fail(path, "tokenizer.ggml.model",
         fmt::format("'{}' is not read. Supported: gpt2 (byte-level BPE).", printable(kind)));
  }
  const GgufPreTokenizer& known = gguf_pre_tokenizer(metadata, path);
  TokenizerParts parts;
  parts.origin = fmt::format("GGUF, pre-tokeniser {}", known.name);
  parts.vocabulary = read_vocabulary(metadata, path);
  BpeOptions options;
  options.ignore_merges = known.ignore_merges;
  parts.model = read_merges(metadata, path, parts.vocabulary, options);
  parts.normalization = known.nfc ? Normalization::nfc : Normalization::none;
  parts.pre_tokenizer = build_pre_tokenizer(known);
  if (metadata.find_bool("tokenizer.ggml.add_space_prefix").value_or(false)) {
    parts.pre_tokenizer.prefix_space_before = parts.pre_tokenizer.splitters.size() - 1;
  }
  parts.added = AddedTokens(read_added(metadata, path, *parts.vocabulary), parts.normalization);
  parts.bos = read_id(metadata, path, "tokenizer.ggml.bos_token_id", *parts.vocabulary);
  parts.eos = read_id(metadata, path, "tokenizer.ggml.eos_token_id", *parts.vocabulary);
  add_end(metadata, path, "tokenizer.ggml.add_bos_token", known.add_bos, parts.bos, parts.sequence_template.before);
  add_end(metadata, path, "tokenizer.ggml.add_eos_token", false, parts.eos, parts.sequence_template.behind);
  return std::make_unique<ByteLevelTokenizer>(std::move(parts));
}

}  // namespace chorale
