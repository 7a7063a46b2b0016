#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/tokenizer/tokenizer.hpp"
#include "support/catch.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

namespace chorale {
namespace {

using nlohmann::json;
using test::contains;
using test::input_error_of;

/// A small sound tokenizer.json: letters a to e, a space, two merges, BOS added.
json sound_document() {
  return json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 8, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": " ?\\p{L}+"}, "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [8], "tokens": ["<s>"]}}},
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
              "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
              "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "\u0120": 5, "ab": 6, "\u0120c": 7},
              "merges": ["a b", ["\u0120", "c"]]}})");
}

std::unique_ptr<Tokenizer> load(const test::ScratchDirectory& scratch, const std::string& content) {
  test::write_content(scratch.file("tokenizer.json"), content);
  return load_tokenizer(scratch.file("tokenizer.json"));
}

TEST_CASE("a small tokenizer.json encodes and decodes") {
  const test::ScratchDirectory scratch;
  const auto tokenizer = load(scratch, sound_document().dump());
  using Ids = std::vector<TokenId>;
  REQUIRE(tokenizer->encode("ab cab<s>d", false) == Ids{6, 7, 6, 8, 3});
  REQUIRE(tokenizer->encode("", true) == Ids{8});
  REQUIRE(tokenizer->decode({8, 6, 7, 6, 8, 3}, false) == "<s>ab cab<s>d");
  REQUIRE(tokenizer->decode({8, 6, 7, 6, 8, 3}, true) == "ab cabd");
  REQUIRE(tokenizer->vocabulary() == 9);
  REQUIRE(tokenizer->token(7) == "\u0120c");
  REQUIRE(tokenizer->special_id("<s>") == 8);
  REQUIRE_FALSE(tokenizer->special_id("ab").has_value());
  REQUIRE(tokenizer->bos() == 8);
  REQUIRE_FALSE(tokenizer->eos().has_value());
  REQUIRE_THAT(tokenizer->describe(), contains("9 tokens, 2 merges"));
  REQUIRE_THAT(input_error_of([&] { static_cast<void>(tokenizer->token(9)); }), contains("token id 9"));
  REQUIRE_THAT(input_error_of([&] { static_cast<void>(tokenizer->decode({-1}, false)); }), contains("token id -1"));
}

TEST_CASE("text that is not UTF-8 is refused with the offset") {
  const test::ScratchDirectory scratch;
  const auto tokenizer = load(scratch, sound_document().dump());
  REQUIRE_THAT(input_error_of([&] { static_cast<void>(tokenizer->encode("ab\xC3(", false)); }), contains("offset 2"));
}

TEST_CASE("dropped bytes are counted over all threads") {
  const test::ScratchDirectory scratch;
  const auto tokenizer = load(scratch, sound_document().dump());
  REQUIRE(dropped_bytes_warning(*tokenizer).empty());
  std::vector<std::thread> threads;
  std::vector<std::vector<TokenId>> ids(4);
  for (std::size_t t = 0; t < ids.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        ids[t] = tokenizer->encode("ab\u00e9 cxab", false);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const auto& found : ids) {
    REQUIRE(found == std::vector<TokenId>{6, 7, 6});
  }
  REQUIRE(tokenizer->dropped_bytes() == 4 * 500 * 3);
  REQUIRE_THAT(dropped_bytes_warning(*tokenizer), contains("6000 bytes"));
}

TEST_CASE("a damaged or unreadable tokenizer.json is refused by file and key") {
  struct Case {
    std::string key;
    std::function<void(json&)> damage;
  };
  const auto model = [](const char* name, const json& value) {
    return [name, value](json& document) { document["model"][name] = value; };
  };
  const auto section = [](const char* name, const json& value) {
    return [name, value](json& document) { document[name] = value; };
  };
  const auto step = [](const char* name, const json& value) {
    return [name, value](json& document) { document["pre_tokenizer"]["pretokenizers"][0][name] = value; };
  };
  const auto added = [](const char* name, const json& value) {
    return [name, value](json& document) { document["added_tokens"][0][name] = value; };
  };
  const json byte_level = sound_document()["decoder"];
  json deep = byte_level;
  for (int i = 0; i < 12; ++i) {
    deep = {{"type", "Sequence"}, {"pretokenizers", json::array({deep})}};
  }
  const std::vector<Case> cases = {
      {"model: this key is missing", [](json& document) { document.erase("model"); }},
      {"model: expected an object", section("model", 3)},
      {"model.type: 'Unigram' is not read", model("type", "Unigram")},
      {"model.type: 'WordPiece' is not read", model("type", "WordPiece")},
      {"model.byte_fallback: true is not read", model("byte_fallback", true)},
      {"model.byte_fallback: expected true or false", model("byte_fallback", "yes")},
      {"model.dropout: BPE dropout", model("dropout", 0.1)},
      {"model.continuing_subword_prefix: '##'", model("continuing_subword_prefix", "##")},
      {"model.end_of_word_suffix: '</w>'", model("end_of_word_suffix", "</w>")},
      {"model.unk_token: '<unk>' is not in", model("unk_token", "<unk>")},
      {"model.vocab: expected an object", model("vocab", json::array({"a"}))},
      {"model.vocab: the vocabulary is empty", model("vocab", json::object())},
      {"model.vocab: token 'z' has id -1", [](json& document) { document["model"]["vocab"]["z"] = -1; }},
      {"model.vocab: token 'z' has id 99999999999",
       [](json& document) { document["model"]["vocab"]["z"] = 99999999999; }},
      {"model.vocab: token 'z' has no integer id", [](json& document) { document["model"]["vocab"]["z"] = 1.5; }},
      {"model.vocab: id 1 is given to two", [](json& document) { document["model"]["vocab"]["z"] = 1; }},
      {"model.merges: this key is missing", [](json& document) { document["model"].erase("merges"); }},
      {"model.merges: expected a list", model("merges", "a b")},
      {"model.merges[0]: 'ab' is no pair", model("merges", {"ab"})},
      {"model.merges[1]: 'a b c' is no pair", model("merges", {"a b", "a b c"})},
      {"model.merges[0]: a merge has two halves", model("merges", json::array({json::array({"a", "b", "c"})}))},
      {"model.merges[0]: expected a string", model("merges", {5})},
      {"model.merges[0]: merge 0 ('a' + 'c') needs the token 'ac'", model("merges", {"a c"})},
      {"normalizer.type: 'Lowercase' is not read", section("normalizer", {{"type", "Lowercase"}})},
      {"normalizer.type: this key is missing", section("normalizer", json::object())},
      {"pre_tokenizer: has no ByteLevel", section("pre_tokenizer", nullptr)},
      {"pre_tokenizer.type: 'Metaspace' is not read", section("pre_tokenizer", {{"type", "Metaspace"}})},
      {"pre_tokenizer: has no ByteLevel", section("pre_tokenizer", {{"type", "Digits"}, {"individual_digits", true}})},
      {"nested more than 8 deep", section("pre_tokenizer", deep)},
      {"more than 64 steps",
       section("pre_tokenizer",
               {{"type", "Sequence"}, {"pretokenizers", std::vector<json>(100, {{"type", "Digits"}})}})},
      {"a step behind ByteLevel",
       section("pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {byte_level, byte_level}}})},
      {"pretokenizers[0].pattern.Regex: pattern '(' does not compile", step("pattern", {{"Regex", "("}})},
      {"pretokenizers[0].pattern.String: an empty string", step("pattern", {{"String", ""}})},
      {"pretokenizers[0].pattern.String: this key is missing", step("pattern", {{"Glob", "*"}})},
      {"pretokenizers[0].behavior: 'Merged' is not read", step("behavior", "Merged")},
      {"pretokenizers[0].invert: expected true or false", step("invert", 1)},
      {"post_processor.type: 'RobertaProcessing' is not read",
       section("post_processor", {{"type", "RobertaProcessing"}})},
      {"post_processor.special_tokens.<s>: this key is missing",
       [](json& document) { document["post_processor"]["special_tokens"].clear(); }},
      {"post_processor: adds the id 77",
       [](json& document) { document["post_processor"]["special_tokens"]["<s>"]["ids"] = {77}; }},
      {"post_processor.single: the template leaves out",
       [](json& document) { document["post_processor"]["single"].erase(1); }},
      {"decoder.type: 'WordPiece' is not read", section("decoder", {{"type", "WordPiece"}})},
      {"added_tokens: expected a list", section("added_tokens", "x")},
      {"added_tokens[0].id: token '<s>' has id 20 here", added("id", 20)},
      {"added_tokens[0].id: 4294967296", added("id", 4294967296)},
      {"added_tokens[0].id: expected an integer", added("id", "8")},
      {"added_tokens[0].content: an added token must not be empty", added("content", "")},
      {"added_tokens[0].special: expected true or false", added("special", "true")},
  };
  const test::ScratchDirectory scratch;
  for (const Case& c : cases) {
    INFO(c.key);
    json document = sound_document();
    c.damage(document);
    const std::string message = input_error_of([&] { load(scratch, document.dump()); });
    CHECK_THAT(message, contains(scratch.file("tokenizer.json")));
    CHECK_THAT(message, contains(c.key));
  }
}

TEST_CASE("what is not JSON is refused by file and place, wherever it is cut off") {
  const test::ScratchDirectory scratch;
  const std::string sound = sound_document().dump();
  for (std::size_t length = 1; length < sound.size(); length += 7) {
    const std::string message = input_error_of([&] { load(scratch, sound.substr(0, length)); });
    REQUIRE_THAT(message, contains("tokenizer.json"));
  }
  REQUIRE_THAT(input_error_of([&] { load(scratch, "{\"model\": \"\xFF\"}"); }), contains("tokenizer.json"));
  const std::string brackets(200000, '[');
  REQUIRE_THAT(input_error_of([&] { load(scratch, brackets); }), contains("tokenizer.json"));
}

TEST_CASE("a path without a tokenizer says what is missing") {
  const test::ScratchDirectory scratch;
  REQUIRE_THAT(input_error_of([&] { static_cast<void>(load_tokenizer(scratch.path().string())); }),
               contains("no tokenizer.json"));
  test::write_content(scratch.file("tokenizer.model"), "x");
  REQUIRE_THAT(input_error_of([&] { static_cast<void>(load_tokenizer(scratch.path().string())); }),
               contains("SentencePiece"));
  REQUIRE_THAT(input_error_of([&] { static_cast<void>(load_tokenizer(scratch.file("absent.json"))); }),
               contains("absent.json"));
  REQUIRE_THAT(input_error_of([&] { static_cast<void>(load_tokenizer(scratch.file("absent.gguf"))); }),
               contains("absent.gguf"));
}

TEST_CASE("BOS and EOS come from the files beside it, then from the template") {
  const test::ScratchDirectory scratch;
  load(scratch, sound_document().dump());
  const auto ends = [&] {
    const auto tokenizer = load_tokenizer(scratch.path().string());
    return std::pair(tokenizer->bos().value_or(-1), tokenizer->eos().value_or(-1));
  };
  REQUIRE(ends() == std::pair(8, -1));
  test::write_content(scratch.file("config.json"), R"({"bos_token_id": 4, "eos_token_id": [2, 3]})");
  REQUIRE(ends() == std::pair(4, 2));
  test::write_content(scratch.file("tokenizer_config.json"), R"({"bos_token": null, "eos_token": {"content": "<s>"}})");
  REQUIRE(ends() == std::pair(4, 8));
  test::write_content(scratch.file("tokenizer_config.json"), R"({"bos_token": 5})");
  REQUIRE_THAT(input_error_of([&] { ends(); }), contains("tokenizer_config.json: bos_token: expected a string"));
}

}  // namespace
}  // namespace chorale
