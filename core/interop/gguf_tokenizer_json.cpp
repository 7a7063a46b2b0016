#include "core/interop/gguf_tokenizer_json.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "core/base/errors.hpp"
#include "core/tokenizer/known_patterns.hpp"
#include "core/tokenizer/tokenizer_gguf.hpp"

namespace chorale {
namespace {

using nlohmann::json;

constexpr std::int64_t kControl = 3;  // values of tokenizer.ggml.token_type
constexpr std::int64_t kUserDefined = 4;

json byte_level(bool prefix_space, bool pattern) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", prefix_space}, {"trim_offsets", true}, {"use_regex", pattern}};
}

json pre_tokenizer_of(const GgufPreTokenizer& known, bool prefix_space, const std::string& path) {
  json stages = json::array();
  if (known.single_digits_first) stages.push_back({{"type", "Digits"}, {"individual_digits", true}});
  if (known.pattern == gpt2_pattern) {
    stages.push_back(byte_level(prefix_space, /*pattern=*/true));
  } else {
    if (prefix_space) {
      throw InputError(
          fmt::format("{}: tokenizer.ggml.add_space_prefix is on with the pre-tokeniser '{}', which no "
                      "tokenizer.json does. Take the tokenizer from the model's Hugging Face directory.",
                      path, known.name));
    }
    stages.push_back(
        {{"type", "Split"}, {"pattern", {{"Regex", known.pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
    stages.push_back(byte_level(false, /*pattern=*/false));
  }
  return stages.size() == 1 ? stages[0] : json{{"type", "Sequence"}, {"pretokenizers", stages}};
}

json added_tokens_of(const Metadata& metadata, const std::vector<std::string_view>& tokens) {
  json added = json::array();
  const auto types = metadata.find_integers("tokenizer.ggml.token_type").value_or(std::vector<std::int64_t>());
  for (std::size_t id = 0; id < types.size(); ++id) {
    if (types[id] != kControl && types[id] != kUserDefined) continue;
    added.push_back({{"id", id},
                     {"content", tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", types[id] == kControl}});
  }
  return added;
}

// The token a switch of the file puts before or behind every text; nothing when it is off.
std::optional<std::string_view> end_token(const Metadata& metadata, const std::vector<std::string_view>& tokens,
                                          const char* key, bool otherwise, const char* id_key) {
  if (!metadata.find_bool(key).value_or(otherwise)) return std::nullopt;
  return tokens[metadata.get_unsigned(id_key)];
}

json post_processor_of(const Metadata& metadata, const GgufPreTokenizer& known,
                       const std::vector<std::string_view>& tokens) {
  const auto before =
      end_token(metadata, tokens, "tokenizer.ggml.add_bos_token", known.add_bos, "tokenizer.ggml.bos_token_id");
  const auto behind = end_token(metadata, tokens, "tokenizer.ggml.add_eos_token", false, "tokenizer.ggml.eos_token_id");
  if (!before && !behind) return byte_level(true, true);
  json special = json::object();
  const auto frame = [&](const char* sequence, int type) {
    json parts = json::array();
    const auto add = [&](std::string_view token, const char* id_key) {
      parts.push_back({{"SpecialToken", {{"id", token}, {"type_id", type}}}});
      special[std::string(token)] = {{"id", token}, {"ids", {metadata.get_unsigned(id_key)}}, {"tokens", {token}}};
    };
    if (before) add(*before, "tokenizer.ggml.bos_token_id");
    parts.push_back({{"Sequence", {{"id", sequence}, {"type_id", type}}}});
    if (behind) add(*behind, "tokenizer.ggml.eos_token_id");
    return parts;
  };
  const json single = frame("A", 0);
  json pair = single;
  for (const json& part : frame("B", 1)) pair.push_back(part);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
}

}  // namespace

std::string gguf_tokenizer_json(const Metadata& metadata, const std::string& path) {
  static_cast<void>(read_gguf_tokenizer(metadata, path));  // checks everything that is read below
  const GgufPreTokenizer& known = gguf_pre_tokenizer(metadata, path);
  const std::vector<std::string_view>& tokens = metadata.get_strings("tokenizer.ggml.tokens");
  const bool prefix_space = metadata.find_bool("tokenizer.ggml.add_space_prefix").value_or(false);
  json vocabulary = json::object();
  for (std::size_t id = 0; id < tokens.size(); ++id) vocabulary[std::string(tokens[id])] = id;
  const json model = {{"type", "BPE"},
                      {"dropout", nullptr},
                      {"unk_token", nullptr},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", false},
                      {"byte_fallback", false},
                      {"ignore_merges", known.ignore_merges},
                      {"vocab", std::move(vocabulary)},
                      {"merges", metadata.get_strings("tokenizer.ggml.merges")}};
  const json result = {{"version", "1.0"},
                       {"truncation", nullptr},
                       {"padding", nullptr},
                       {"added_tokens", added_tokens_of(metadata, tokens)},
                       {"normalizer", known.nfc ? json{{"type", "NFC"}} : json()},
                       {"pre_tokenizer", pre_tokenizer_of(known, prefix_space, path)},
                       {"post_processor", post_processor_of(metadata, known, tokens)},
                       {"decoder", byte_level(true, true)},
                       {"model", model}};
  return result.dump() + "\n";
}

std::string gguf_tokenizer_config(const Metadata& metadata, const std::string& path) {
  const std::vector<std::string_view>& tokens = metadata.get_strings("tokenizer.ggml.tokens");
  json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  const auto name = [&](const char* key, const char* id_key) {
    const auto id = metadata.find_unsigned(id_key);
    if (!id) return;
    if (*id >= tokens.size()) {
      throw InputError(fmt::format("{}: {}: {} is outside the vocabulary of {} tokens. Fetch the file again.", path,
                                   id_key, *id, tokens.size()));
    }
    config[key] = tokens[*id];
  };
  name("bos_token", "tokenizer.ggml.bos_token_id");
  name("eos_token", "tokenizer.ggml.eos_token_id");
  name("pad_token", "tokenizer.ggml.padding_token_id");
  name("unk_token", "tokenizer.ggml.unknown_token_id");
  if (const auto text = metadata.find_string("tokenizer.chat_template")) config["chat_template"] = *text;
  return config.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace chorale
