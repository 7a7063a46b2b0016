// Weights as they are read onto a device: bit for bit what decoding to float32 and rounding once gives.
#include "core/model/weight_reader.hpp"

#include <ATen/Parallel.h>

#include <cstring>

#include "core/base/random.hpp"
#include "core/model/decoder.hpp"
#include "core/weights/expected_tensors.hpp"
#include "core/weights/safetensors_writer.hpp"
#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/scratch_directory.hpp"
#include "support/tensors.hpp"
#include "support/tiny_base.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

constexpr std::uint64_t kHidden = 64, kFeedForward = 96, kVocabulary = 40;

struct Stored {
  std::uint32_t type;  // in a GGUF file
  std::uint64_t elements, bytes;
};

// F32, F16, Q4_0, Q4_1, Q8_0, BF16: numbers of the format, elements and bytes of a block.
const std::vector<Stored> kStored = {{0, 1, 4}, {1, 1, 2}, {2, 32, 18}, {3, 32, 20}, {8, 32, 34}, {30, 1, 2}};

// Random bytes whose numbers are finite: a clear bit in every second byte keeps exponents away from infinity.
std::string random_values(std::uint64_t elements, const Stored& stored, std::uint64_t number) {
  std::string bytes(elements / stored.elements * stored.bytes, '\0');
  RandomSequence random(RandomStream(5, 0, Purpose::test, number));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(random.next() & 0xFFU);
  for (std::size_t i = 0; i < bytes.size(); i += stored.bytes) {
    const std::size_t high = stored.elements > 1 ? 1 : stored.bytes - 1;
    bytes[i + high] = static_cast<char>(bytes[i + high] & 0xBF);
    if (stored.type == 3) bytes[i + 3] = static_cast<char>(bytes[i + 3] & 0xBF);
  }
  return bytes;
}

// Two layers with all matrices of one storage type; q and k are in pair order, as the format has them.
std::string gguf_model(const Stored& stored) {
  GgufBuilder builder;
  builder.text("general.architecture", "llama").text("general.name", "tiny");
  builder.number("llama.block_count", 2).number("llama.embedding_length", kHidden);
  builder.number("llama.feed_forward_length", kFeedForward).number("llama.context_length", 32);
  builder.number("llama.attention.head_count", 2).number("llama.attention.head_count_kv", 1);
  builder.number("llama.rope.dimension_count", 32).number("llama.vocab_size", kVocabulary);
  builder.real("llama.rope.freq_base", 10000.0F).real("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  std::uint64_t number = 0;
  const auto matrix = [&](const std::string& name, std::uint64_t columns, std::uint64_t rows) {
    builder.tensor(name, {columns, rows}, stored.type, random_values(columns * rows, stored, number++));
  };
  const auto norm = [&](const std::string& name) { builder.floats(name, {kHidden}, counted({kHidden}, 0.25F)); };
  matrix("token_embd.weight", kHidden, kVocabulary);
  norm("output_norm.weight");
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    norm(layer + "attn_norm.weight");
    norm(layer + "ffn_norm.weight");
    matrix(layer + "attn_q.weight", kHidden, 64);
    matrix(layer + "attn_k.weight", kHidden, 32);
    matrix(layer + "attn_v.weight", kHidden, 32);
    matrix(layer + "attn_output.weight", 64, kHidden);
    matrix(layer + "ffn_gate.weight", kHidden, kFeedForward);
    matrix(layer + "ffn_up.weight", kHidden, kFeedForward);
    matrix(layer + "ffn_down.weight", kFeedForward, kHidden);
  }
  return builder.build();
}

// The tiny base's tensors as a Hugging Face directory.
void write_directory(const ScratchDirectory& scratch, StorageType type) {
  const TinyBase tiny;
  const ModelConfig& config = tiny.config();
  std::vector<TensorEntry> entries;
  for (const ExpectedTensor& tensor : expected_tensors(config)) entries.push_back({tensor.name, tensor.shape});
  SafetensorsWriter writer(scratch.file("model.safetensors"), type, entries, {{"format", "pt"}});
  for (const TensorEntry& entry : writer.tensors()) {
    std::vector<float> values(static_cast<std::size_t>(entry.shape[0] * (entry.shape.size() > 1 ? entry.shape[1] : 1)));
    tiny.read(entry.name, values);
    writer.append(values);
  }
  (void)writer.finish();
  write_content(scratch.file("config.json"),
                R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 24,
                    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
                    "intermediate_size": 20, "vocab_size": 48, "tie_word_embeddings": true, "rms_norm_eps": 1e-5,
                    "rope_theta": 10000.0, "max_position_embeddings": 256, "hidden_act": "silu"})");
}

std::vector<std::vector<std::string>> groups_of(const BaseFiles& base) {
  std::vector<std::vector<std::string>> groups = {{"model.embed_tokens.weight"}, {"model.norm.weight"}};
  for (std::int64_t i = 0; i < base.config().layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    groups.push_back(
        {layer + "self_attn.q_proj.weight", layer + "self_attn.k_proj.weight", layer + "self_attn.v_proj.weight"});
    groups.push_back({layer + "mlp.gate_proj.weight", layer + "mlp.up_proj.weight"});
    groups.push_back({layer + "mlp.down_proj.weight"});
  }
  return groups;
}

// Decoded whole, laid one below the other, rounded once.
at::Tensor plainly(const BaseFiles& base, const std::vector<std::string>& names, at::ScalarType type) {
  std::vector<at::Tensor> parts;
  for (const std::string& name : names) {
    at::Tensor part = at::empty(base.shape(name), at::kFloat);
    base.read(name, std::span(part.mutable_data_ptr<float>(), static_cast<std::size_t>(part.numel())));
    parts.push_back(part);
  }
  return at::cat(parts).to(type);
}

bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() && a.is_contiguous() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

void check_reading(const BaseFiles& base) {
  WeightReader whole(base, at::kCPU);
  // Buffers smaller than a row, of a few rows, and larger than every tensor.
  std::vector<WeightReader> readers;
  for (const std::int64_t bytes : {16, 1000, 1 << 20})
    readers.emplace_back(base, at::kCPU, StagingRing(at::kCPU, bytes));
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    for (const std::vector<std::string>& names : groups_of(base)) {
      const at::Tensor expected = plainly(base, names, type);
      REQUIRE(expected.isfinite().all().item<bool>());
      CHECK(same_bytes(whole.read(names, type), expected));
      CHECK(same_bytes(whole.borrow(names, type), expected));
      for (WeightReader& reader : readers) CHECK(same_bytes(reader.read(names, type), expected));
    }
  }
}

}  // namespace

TEST_CASE("weights of a Hugging Face directory are read as they are decoded") {
  for (const StorageType type : {StorageType::float32, StorageType::float16, StorageType::bfloat16}) {
    const ScratchDirectory scratch;
    write_directory(scratch, type);
    const auto base = open_base(scratch.path().string());
    CHECK(base->stored_as("model.layers.0.self_attn.q_proj.weight") == type);
    check_reading(*base);
  }
}

TEST_CASE("weights of a GGUF file are read as they are decoded, queries and keys in half-split order") {
  for (const Stored& stored : kStored) {
    const ScratchDirectory scratch;
    write_content(scratch.file("m.gguf"), gguf_model(stored));
    const auto base = open_base(scratch.file("m.gguf"));
    check_reading(*base);
  }
}

TEST_CASE("weights that are in no file are read as well") {
  const TinyBase base;
  CHECK_FALSE(base.stored_as("model.norm.weight"));
  CHECK_THROWS_AS(base.copy_rows("model.norm.weight", 0, 1, {}), InternalError);
  check_reading(base);
}

TEST_CASE("large weights are read by all threads") {
  ModelConfig config = tiny_config();
  config.vocabulary = 3000;  // more than a thread takes for itself
  const TinyBase base(config);
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  check_reading(base);
  at::set_num_threads(before);
}

TEST_CASE("a decoder over stored weights is the one over their decoded values") {
  for (const StorageType type : {StorageType::float32, StorageType::bfloat16}) {
    const ScratchDirectory scratch;
    write_directory(scratch, type);
    const auto base = open_base(scratch.path().string());
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
      const Decoder decoder(*base, {dtype, at::kCPU});
      CHECK(same_bytes(decoder.head(), plainly(*base, {"model.embed_tokens.weight"}, dtype)));
    }
  }
}
