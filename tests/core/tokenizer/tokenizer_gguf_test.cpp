#include <ctime>
#include <filesystem>
#include <functional>

#include "core/tokenizer/tokenizer.hpp"
#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

namespace chorale {
namespace {

using test::contains;
using test::input_error_of;
using Ids = std::vector<TokenId>;

// Ids that two independent implementations agreed on for this model.
TEST_CASE("SmolLM2's GGUF tokenizer gives the golden ids") {
  const std::string path = CHORALE_SOURCE_DIR "/.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(path)) {
    WARN("SKIPPED: the base model is not installed");
    return;
  }
  const std::clock_t begin = std::clock();
  const auto tokenizer = load_tokenizer(path);
  // Processor time, so that a busy machine does not count; 0.05 s optimised, and a sanitizer may take ten times that.
  CHECK(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC < 1.5);
  REQUIRE(tokenizer->encode("The capital of France is", true) == Ids{504, 3575, 282, 4649, 314});
  REQUIRE(tokenizer->encode("Definition: a tangible and visible entity\nCategory:", true) ==
          Ids{18543, 42, 253, 15938, 284, 6178, 10404, 198, 27348, 42});
  const std::string mixed = "In 1984, 12.5% of na\u00efve cats didn't  care.\n\n\tOK";
  REQUIRE(tokenizer->encode(mixed, false) == Ids{788, 216,   33,    41,   40,   36,  28,  216,  33, 34,   30,  37,   21,
                                                 282, 15486, 46494, 7680, 3683, 982, 216, 1176, 30, 1116, 197, 13663});
  REQUIRE(tokenizer->decode(tokenizer->encode(mixed, false), false) == mixed);
  REQUIRE(tokenizer->encode("\u65e5\u672c\u8a9e \U0001F600", false) ==
          Ids{23274, 115, 40993, 179, 120, 248, 40303, 218});
  REQUIRE(tokenizer->encode("<|im_start|>user\nHi<|im_end|>\n", false) == Ids{1, 4093, 198, 26843, 2, 198});
  REQUIRE(tokenizer->vocabulary() == 49152);
  REQUIRE(tokenizer->bos() == 1);
  REQUIRE(tokenizer->eos() == 2);
  REQUIRE(tokenizer->special_id("<|im_end|>") == 2);
  REQUIRE(tokenizer->token(504) == "The");
}

std::string strings(const std::vector<std::string>& values) {
  std::string bytes = test::bytes_of<std::uint32_t>(8) + test::bytes_of<std::uint64_t>(values.size());
  for (const std::string& value : values) {
    bytes += test::gguf_text(value);
  }
  return bytes;
}

std::string integers(const std::vector<std::int32_t>& values) {
  std::string bytes = test::bytes_of<std::uint32_t>(5) + test::bytes_of<std::uint64_t>(values.size());
  for (const std::int32_t value : values) {
    bytes += test::bytes_of(value);
  }
  return bytes;
}

/// The tokenizer keys of a file; a test changes one.
struct Keys {
  std::string model = "gpt2";
  std::string pre = "smollm";
  std::vector<std::string> tokens = {"<s>", "<x>",    "a",      "b",      "1",      "\u0120",       "ab",   "\u0120b",
                                     "e",   "\u00cc", "\u0123", "\u00c3", "\u00a9", "\u00c3\u00a9", "1111", "11"};
  std::vector<std::string> merges = {"a b", "\u0120 b", "\u00c3 \u00a9", "1 1", "11 11"};
  std::vector<std::int32_t> types = {3, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  std::uint32_t bos = 0;
  int add_bos = -1;

  [[nodiscard]] test::GgufBuilder builder() const {
    test::GgufBuilder file;
    file.text("tokenizer.ggml.model", model).text("tokenizer.ggml.pre", pre);
    file.raw_key("tokenizer.ggml.tokens", 9, strings(tokens)).raw_key("tokenizer.ggml.merges", 9, strings(merges));
    file.raw_key("tokenizer.ggml.token_type", 9, integers(types));
    file.number("tokenizer.ggml.bos_token_id", bos);
    if (add_bos >= 0) {
      file.raw_key("tokenizer.ggml.add_bos_token", 7, std::string(1, static_cast<char>(add_bos)));
    }
    return file;
  }
};

std::unique_ptr<Tokenizer> load(const test::ScratchDirectory& scratch, const Keys& keys) {
  test::write_content(scratch.file("model.gguf"), keys.builder().build());
  return load_tokenizer(scratch.file("model.gguf"));
}

TEST_CASE("each named pre-tokeniser cuts, normalises and begins texts its own way") {
  const test::ScratchDirectory scratch;
  const auto ids = [&](const std::string& pre, const std::string& text) {
    Keys keys;
    keys.pre = pre;
    return load(scratch, keys)->encode(text, true);
  };
  REQUIRE(ids("smollm", "ab b<s>1111") == Ids{6, 7, 0, 4, 4, 4, 4});
  REQUIRE(ids("gpt-2", "ab b<s>1111") == Ids{6, 7, 0, 14});
  REQUIRE(ids("llama-bpe", "ab b<x>1111") == Ids{0, 6, 7, 1, 15, 4, 4});  // BOS; 111 and 1
  REQUIRE(ids("llama3", "11111") == Ids{0, 15, 4, 15});
  REQUIRE(ids("qwen2", "ab b1111") == Ids{6, 7, 4, 4, 4, 4});
  // Only qwen2 composes.
  REQUIRE(ids("qwen2", "e\u0301") == Ids{13});
  REQUIRE(ids("gpt-2", "e\u0301") == Ids{8, 9, 10});
}

TEST_CASE("the file's own switch for BOS wins over the habit of its kind") {
  const test::ScratchDirectory scratch;
  Keys keys;
  keys.add_bos = 1;
  REQUIRE(load(scratch, keys)->encode("ab", true) == Ids{0, 6});
  REQUIRE(load(scratch, keys)->encode("ab", false) == Ids{6});
  keys.pre = "llama-bpe";
  keys.add_bos = 0;
  REQUIRE(load(scratch, keys)->encode("ab", true) == Ids{6});
}

TEST_CASE("control tokens are special, user-defined ones are only added") {
  const test::ScratchDirectory scratch;
  const auto tokenizer = load(scratch, Keys{});
  REQUIRE(tokenizer->decode({0, 6, 1}, true) == "ab<x>");
  REQUIRE(tokenizer->decode({0, 6, 1}, false) == "<s>ab<x>");
}

TEST_CASE("what a GGUF file's tokenizer gets wrong is named by key") {
  struct Case {
    std::string expected;
    std::function<void(Keys&)> damage;
  };
  const std::vector<Case> cases = {
      {"tokenizer.ggml.model: 'llama' is not read", [](Keys& keys) { keys.model = "llama"; }},
      {"tokenizer.ggml.pre: 'falcon' is not read. Supported: smollm, gpt-2, llama-bpe",
       [](Keys& keys) { keys.pre = "falcon"; }},
      {"tokenizer.ggml.tokens: holds 0 tokens", [](Keys& keys) { keys.tokens.clear(); }},
      {"tokenizer.ggml.tokens: token 'a' stands twice", [](Keys& keys) { keys.tokens[3] = "a"; }},
      {"tokenizer.ggml.tokens: token 3 is not valid UTF-8", [](Keys& keys) { keys.tokens[3] = "\xFF"; }},
      {"tokenizer.ggml.merges: merge 0 is 'ab'", [](Keys& keys) { keys.merges[0] = "ab"; }},
      {"tokenizer.ggml.merges: merge 1 is 'a  b'", [](Keys& keys) { keys.merges[1] = "a  b"; }},
      {"tokenizer.ggml.merges: merge 0 ('b' + 'a') needs", [](Keys& keys) { keys.merges[0] = "b a"; }},
      {"tokenizer.ggml.token_type: holds 15 types", [](Keys& keys) { keys.types.pop_back(); }},
      {"tokenizer.ggml.token_type: token 2 is empty",
       [](Keys& keys) {
         keys.tokens = {"a", "b", ""};
         keys.types = {1, 1, 3};
         keys.merges.clear();
       }},
      {"tokenizer.ggml.bos_token_id: 16 is outside", [](Keys& keys) { keys.bos = 16; }},
  };
  const test::ScratchDirectory scratch;
  for (const Case& c : cases) {
    INFO(c.expected);
    Keys keys;
    c.damage(keys);
    const std::string message = input_error_of([&] { load(scratch, keys); });
    CHECK_THAT(message, contains(scratch.file("model.gguf")));
    CHECK_THAT(message, contains(c.expected));
  }
}

TEST_CASE("a GGUF file without a tokenizer names the first key it lacks") {
  const test::ScratchDirectory scratch;
  test::write_content(scratch.file("model.gguf"), test::tiny_llama_keys().build());
  REQUIRE_THAT(input_error_of([&] { static_cast<void>(load_tokenizer(scratch.file("model.gguf"))); }),
               contains("tokenizer.ggml.model"));
}

}  // namespace
}  // namespace chorale
