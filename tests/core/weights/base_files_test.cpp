#include "core/weights/base_files.hpp"

#include <fstream>
#include <functional>
#include <span>
#include <stop_token>
#include <thread>

#include "core/base/sha256.hpp"
#include "core/weights/gguf_config.hpp"
#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

std::string message_for(const GgufBuilder& builder) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("m.gguf");
  write_content(path, builder.build());
  const std::string message = input_error_of([&] { (void)open_base(path); });
  CHECK_THAT(message, contains("m.gguf"));
  return message;
}

}  // namespace

TEST_CASE("a GGUF decoder is read under Hugging Face names", "[weights]") {
  const ScratchDirectory scratch;
  write_content(scratch.file("m.gguf"), tiny_llama());
  const auto base = open_base(scratch.file("m.gguf"));
  const ModelConfig& config = base->config();
  CHECK(base->kind() == "gguf");
  CHECK(config.name == "tiny");
  CHECK(config.vocabulary == 6);
  CHECK(config.hidden == 8);
  CHECK(config.layers == 1);
  CHECK(config.heads == 2);
  CHECK(config.kv_heads == 1);
  CHECK(config.head_dim == 4);
  CHECK(config.feed_forward == 16);
  CHECK(config.context_length == 32);
  CHECK(config.rms_epsilon == Approx(1e-5));
  CHECK(config.rope_theta == 10000.0);
  CHECK(config.rope_scaling.kind == "none");
  CHECK(config.tied_head);
  CHECK_FALSE(base->has("lm_head.weight"));
  CHECK(base->shape("model.layers.0.mlp.down_proj.weight") == std::vector<std::int64_t>{8, 16});
  CHECK_THAT(input_error_of([&] { (void)base->shape("model.layers.0.mlp.down.weight"); }),
             contains("Did you mean 'model.layers.0.mlp.down_proj.weight'?"));
  std::vector<float> values(8);
  CHECK_THROWS_AS(base->read("model.embed_tokens.weight", values), InternalError);
}

TEST_CASE("rows of q and k come in half-split order, whole or in parts, others as they lie", "[weights]") {
  const ScratchDirectory scratch;
  write_content(scratch.file("m.gguf"), tiny_llama());
  const auto base = open_base(scratch.file("m.gguf"));
  // Row r of the file holds 8r, 8r + 1, ...; within a head of 4, row 2i + s goes to 2s + i.
  const std::vector<float> order{0, 2, 1, 3, 4, 6, 5, 7};
  std::vector<float> query(64);
  base->read("model.layers.0.self_attn.q_proj.weight", query);
  for (std::size_t row = 0; row < 8; ++row) {
    CHECK(query[8 * row] == 8 * order[row]);
    CHECK(query[8 * row + 7] == 8 * order[row] + 7);
  }
  std::vector<float> part(24);
  base->read_rows("model.layers.0.self_attn.q_proj.weight", 5, 3, part);
  CHECK(part == std::vector<float>(query.begin() + 40, query.end()));
  std::vector<float> value(32);
  base->read("model.layers.0.self_attn.v_proj.weight", value);
  CHECK(value == counted({8, 4}));
  std::vector<float> norm(8);
  base->read("model.norm.weight", norm);
  CHECK(norm == counted({8}));
  std::vector<float> two(2);
  base->read_rows("model.norm.weight", 3, 2, two);
  CHECK(two == std::vector<float>{3, 4});
}

TEST_CASE("biases are recognised and follow their weights' row order", "[weights]") {
  GgufBuilder builder = tiny_llama_keys();
  add_tiny_llama_tensors(builder);
  builder.floats("blk.0.attn_q.bias", {8}, counted({8})).floats("blk.0.attn_k.bias", {4}, counted({4}));
  builder.floats("blk.0.attn_v.bias", {4}, counted({4})).floats("output.weight", {8, 6}, counted({8, 6}));
  CHECK_THAT(message_for(builder), contains("'blk.0.attn_output.bias'") && contains("is missing"));
  builder.floats("blk.0.attn_output.bias", {8}, counted({8}));
  const ScratchDirectory scratch;
  write_content(scratch.file("m.gguf"), builder.build());
  const auto base = open_base(scratch.file("m.gguf"));
  CHECK(base->config().attention_bias);
  CHECK_FALSE(base->config().mlp_bias);
  CHECK_FALSE(base->config().tied_head);
  std::vector<float> bias(8);
  base->read("model.layers.0.self_attn.q_proj.bias", bias);
  CHECK(bias == std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7});
}

TEST_CASE("a fingerprint computed beside other work is the same, and can be broken off", "[weights]") {
  const ScratchDirectory scratch;
  write_content(scratch.file("m.gguf"), tiny_llama());
  const std::string expected = open_base(scratch.file("m.gguf"))->fingerprint();
  const auto base = open_base(scratch.file("m.gguf"));
  std::stop_source broken_off;
  broken_off.request_stop();
  CHECK(base->fingerprint_until(broken_off.get_token()).empty());
  std::string beside;
  std::jthread thread([&](const std::stop_token& stop) { beside = base->fingerprint_until(stop); });
  CHECK(base->fingerprint() == expected);
  thread.join();
  CHECK(beside == expected);
}

TEST_CASE("rows come as they are stored, in the order in which they are decoded", "[weights]") {
  const ScratchDirectory scratch;
  write_content(scratch.file("m.gguf"), tiny_llama());
  const auto base = open_base(scratch.file("m.gguf"));
  for (const std::string name : {"model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.down_proj.weight"}) {
    REQUIRE(base->stored_as(name) == StorageType::float32);
    base->read_ahead(name);
    const std::int64_t columns = base->shape(name)[1];
    std::vector<float> decoded(static_cast<std::size_t>(5 * columns));
    std::vector<float> copied(decoded.size());
    base->read_rows(name, 2, 5, decoded);
    base->copy_rows(name, 2, 5, std::as_writable_bytes(std::span(copied)));
    CHECK(copied == decoded);
    base->release(name);
    base->copy_rows(name, 2, 5, std::as_writable_bytes(std::span(copied)));
    CHECK(copied == decoded);
    CHECK_THROWS_AS(base->copy_rows(name, 4, 5, std::as_writable_bytes(std::span(copied))), InternalError);
    CHECK_THROWS_AS(base->copy_rows(name, 2, 4, std::as_writable_bytes(std::span(copied))), InternalError);
  }
}

TEST_CASE("several threads read the same tensors", "[weights]") {
  const ScratchDirectory scratch;
  write_content(scratch.file("m.gguf"), tiny_llama());
  const auto base = open_base(scratch.file("m.gguf"));
  std::vector<float> once(64);
  base->read("model.layers.0.self_attn.q_proj.weight", once);
  std::vector<std::vector<float>> copies(4, std::vector<float>(64));
  std::vector<std::thread> threads;
  threads.reserve(copies.size());
  for (auto& copy : copies) {
    threads.emplace_back([&base, &copy] {
      for (int round = 0; round < 100; ++round) {
        base->read("model.layers.0.self_attn.q_proj.weight", copy);
        base->release_pages();
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  for (const auto& copy : copies) {
    CHECK(copy == once);
  }
}

TEST_CASE("the fingerprint covers the tensors' bytes in order of names and nothing else", "[weights]") {
  const ScratchDirectory scratch;
  GgufBuilder builder = tiny_llama_keys();
  add_tiny_llama_tensors(builder);
  write_content(scratch.file("a.gguf"), builder.build());
  builder.text("general.note", "another key changes no weight");
  write_content(scratch.file("b.gguf"), builder.build());
  builder.data.back() = static_cast<char>(builder.data.back() ^ 1);
  write_content(scratch.file("c.gguf"), builder.build());
  const std::string first = open_base(scratch.file("a.gguf"))->fingerprint();
  CHECK(first == open_base(scratch.file("b.gguf"))->fingerprint());
  CHECK(first != open_base(scratch.file("c.gguf"))->fingerprint());
  const GgufFile file(scratch.file("a.gguf"));
  Sha256 expected;
  for (const char* name :
       {"blk.0.attn_k.weight", "blk.0.attn_norm.weight", "blk.0.attn_output.weight", "blk.0.attn_q.weight",
        "blk.0.attn_v.weight", "blk.0.ffn_down.weight", "blk.0.ffn_gate.weight", "blk.0.ffn_norm.weight",
        "blk.0.ffn_up.weight", "output_norm.weight", "token_embd.weight"}) {
    expected.update(file.at(name).bytes);
  }
  CHECK(first == expected.finish());
  // It is remembered: the file is not read once more.
  const auto base = open_base(scratch.file("a.gguf"));
  const std::string before = base->fingerprint();
  std::fstream changed(scratch.file("a.gguf"), std::ios::in | std::ios::out | std::ios::binary);
  changed.seekp(-1, std::ios::end).put('x').flush();
  CHECK(base->fingerprint() == before);
  CHECK(open_base(scratch.file("a.gguf"))->fingerprint() != before);
}

TEST_CASE("linear rotary scaling is understood in each spelling", "[weights]") {
  const auto scaling_of = [](const std::function<void(GgufBuilder&)>& add) {
    const ScratchDirectory scratch;
    GgufBuilder builder = tiny_llama_keys();
    add(builder);
    add_tiny_llama_tensors(builder);
    write_content(scratch.file("m.gguf"), builder.build());
    return open_base(scratch.file("m.gguf"))->config().rope_scaling;
  };
  const auto typed = scaling_of(
      [](GgufBuilder& b) { b.text("llama.rope.scaling.type", "linear").real("llama.rope.scaling.factor", 4.0F); });
  CHECK(typed.kind == "linear");
  CHECK(typed.factor == 4.0);
  CHECK(scaling_of([](GgufBuilder& b) { b.real("llama.rope.scale_linear", 2.0F); }).factor == 2.0);
  CHECK(scaling_of([](GgufBuilder& b) { b.text("llama.rope.scaling.type", "none"); }).kind == "none");
  CHECK(scaling_of([](GgufBuilder& b) { b.real("llama.rope.scaling.factor", 0.0F); }).kind == "none");
}

TEST_CASE("models that cannot be served are refused with the reason", "[weights]") {
  struct Case {
    std::function<void(GgufBuilder&)> change;
    std::vector<std::string> without;
    std::string expected;
  };
  const auto number = [](const std::string& key, std::uint32_t value) {
    return [=](GgufBuilder& b) { b.number(key, value); };
  };
  const auto nothing = [](GgufBuilder&) {};
  const std::vector<Case> cases{
      {nothing, {"blk.0.ffn_up.weight"}, "'blk.0.ffn_up.weight' (model.layers.0.mlp.up_proj.weight) is missing"},
      {nothing, {"token_embd.weight"}, "'token_embd.weight'"},
      {[](GgufBuilder& b) {
         b.floats("blk.0.ffn_up.weight", {16, 8}, counted({16, 8}));
       },
       {"blk.0.ffn_up.weight"},
       "has shape [8, 16] where [16, 8] is expected"},
      {[](GgufBuilder& b) { b.floats("blk.0.attn_q_norm.weight", {4}, counted({4})); },
       {},
       "'blk.0.attn_q_norm.weight'"},
      {[](GgufBuilder& b) { b.floats("rope_freqs.weight", {2}, counted({2})); }, {}, "rope_freqs.weight"},
      {[](GgufBuilder& b) { b.text("llama.rope.scaling.type", "yarn"); }, {}, "rotary scaling 'yarn'"},
      {number("llama.rope.scaling.attn_factor", 1), {}, "llama.rope.scaling.attn_factor"},
      {number("llama.expert_count", 8), {}, "mixture of 8 experts"},
      {number("llama.attention.sliding_window", 16), {}, "looks back only 16 of 32 tokens"},
      {number("llama.attention.value_length", 2), {}, "keys have 4 dimensions per head but values 2"},
      {number("llama.attention.key_length", 8), {}, "llama.rope.dimension_count"},
  };
  for (const Case& refused : cases) {
    INFO(refused.expected);
    GgufBuilder builder = tiny_llama_keys();
    refused.change(builder);
    add_tiny_llama_tensors(builder, refused.without);
    CHECK_THAT(message_for(builder), contains(refused.expected));
  }
}

TEST_CASE("wrong or missing keys are named", "[weights]") {
  GgufBuilder other;
  other.text("general.architecture", "qwen2");
  CHECK_THAT(message_for(other), contains("architecture is 'qwen2'; only 'llama'"));
  CHECK_THAT(message_for(GgufBuilder()), contains("'general.architecture' is missing"));
  GgufBuilder half;
  half.text("general.architecture", "llama").number("llama.vocab_size", 6).number("llama.block_count", 4'000'000'000U);
  CHECK_THAT(message_for(half), contains("'llama.embedding_length' is missing"));
  half.number("llama.embedding_length", 8).number("llama.feed_forward_length", 16).number("llama.context_length", 32);
  half.real("llama.attention.layer_norm_rms_epsilon", 1e-5F).number("llama.attention.head_count", 2);
  CHECK_THAT(message_for(half), contains("number of layers is 4000000000"));
  GgufBuilder ungrouped;
  ungrouped.text("general.architecture", "llama").number("llama.vocab_size", 6).number("llama.block_count", 1);
  ungrouped.number("llama.embedding_length", 8).number("llama.feed_forward_length", 16);
  ungrouped.number("llama.context_length", 32).real("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  ungrouped.number("llama.attention.head_count", 2).number("llama.attention.head_count_kv", 0);
  CHECK_THAT(message_for(ungrouped), contains("key-value heads is 0"));
}

TEST_CASE("a quantised vector is refused", "[weights]") {
  GgufBuilder builder = tiny_llama_keys();
  builder.metadata.clear();
  builder.keys = 0;
  builder.text("general.architecture", "llama").number("llama.vocab_size", 2).number("llama.block_count", 1);
  builder.number("llama.embedding_length", 32).number("llama.feed_forward_length", 2).number("llama.context_length", 8);
  builder.number("llama.attention.head_count", 1).real("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  builder.floats("token_embd.weight", {32, 2}, counted({32, 2}));
  builder.tensor("blk.0.attn_norm.weight", {32}, 2, std::string(18, '\0'));
  CHECK_THAT(message_for(builder), contains("'blk.0.attn_norm.weight'") && contains("must not be quantised"));
}

TEST_CASE("names map between the two conventions", "[weights]") {
  CHECK(gguf_name("model.layers.12.self_attn.o_proj.weight") == "blk.12.attn_output.weight");
  CHECK(gguf_name("model.layers.0.post_attention_layernorm.weight") == "blk.0.ffn_norm.weight");
  CHECK(gguf_name("model.layers.3.mlp.gate_proj.bias") == "blk.3.ffn_gate.bias");
  CHECK(gguf_name("lm_head.weight") == "output.weight");
  CHECK(gguf_name("model.layers.3.unknown.weight").empty());
  CHECK(gguf_name("model.layers.").empty());
  CHECK(gguf_name("").empty());
}

TEST_CASE("paths that are no model say what to give instead", "[weights]") {
  const ScratchDirectory scratch;
  const auto message = [](const std::string& path) { return input_error_of([&] { (void)open_base(path); }); };
  CHECK_THAT(message(scratch.file("absent")), contains("no such file or directory"));
  CHECK_THAT(message(scratch.path().string()), contains("config.json") && contains("cannot be opened"));
  write_content(scratch.file("model.safetensors"), "x");
  CHECK_THAT(message(scratch.file("model.safetensors")), contains("Give the directory"));
  write_content(scratch.file("notes.txt"), "some notes");
  CHECK_THAT(message(scratch.file("notes.txt")), contains("not a GGUF file"));
}
