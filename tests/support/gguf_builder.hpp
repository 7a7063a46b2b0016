// Writes small GGUF files for tests, independent of the reader: every field can be set to something wrong.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace chorale::test {

template <typename Number>
std::string bytes_of(Number value) {
  std::string out(sizeof(Number), '\0');
  std::memcpy(out.data(), &value, sizeof(Number));
  return out;
}

inline std::string gguf_text(std::string_view text) {
  return bytes_of<std::uint64_t>(text.size()) + std::string(text);
}

struct GgufBuilder {
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;
  std::uint64_t keys = 0;
  std::uint64_t tensors = 0;
  std::string metadata;
  std::string table;
  std::string data;

  GgufBuilder& raw_key(std::string_view key, std::uint32_t type, const std::string& value) {
    metadata += gguf_text(key) + bytes_of(type) + value;
    ++keys;
    return *this;
  }
  GgufBuilder& number(std::string_view key, std::uint32_t value) { return raw_key(key, 4, bytes_of(value)); }
  GgufBuilder& real(std::string_view key, float value) { return raw_key(key, 6, bytes_of(value)); }
  GgufBuilder& text(std::string_view key, std::string_view value) { return raw_key(key, 8, gguf_text(value)); }

  GgufBuilder& raw_tensor(std::string_view name, const std::vector<std::uint64_t>& dimensions, std::uint32_t type,
                          std::uint64_t offset) {
    table += gguf_text(name) + bytes_of(static_cast<std::uint32_t>(dimensions.size()));
    for (const std::uint64_t size : dimensions) {
      table += bytes_of(size);
    }
    table += bytes_of(type) + bytes_of(offset);
    ++tensors;
    return *this;
  }
  /// `dimensions` in the file's order, fastest first.
  GgufBuilder& tensor(std::string_view name, const std::vector<std::uint64_t>& dimensions, std::uint32_t type,
                      const std::string& values) {
    data.resize((data.size() + alignment - 1) / alignment * alignment);
    raw_tensor(name, dimensions, type, data.size());
    data += values;
    return *this;
  }
  GgufBuilder& floats(std::string_view name, const std::vector<std::uint64_t>& dimensions,
                      const std::vector<float>& values) {
    std::string bytes(values.size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return tensor(name, dimensions, 0, bytes);
  }

  [[nodiscard]] std::string build() const {
    std::string out = magic + bytes_of(version) + bytes_of(tensors) + bytes_of(keys) + metadata + table;
    out.resize((out.size() + alignment - 1) / alignment * alignment);
    return out + data;
  }
};

/// The keys of a decoder with one layer: hidden 8, 2 heads of 4, 1 key-value head, feed-forward 16, 6 tokens.
inline GgufBuilder tiny_llama_keys() {
  GgufBuilder builder;
  builder.text("general.architecture", "llama").text("general.name", "tiny");
  builder.number("llama.block_count", 1).number("llama.embedding_length", 8).number("llama.feed_forward_length", 16);
  builder.number("llama.attention.head_count", 2).number("llama.attention.head_count_kv", 1);
  builder.number("llama.rope.dimension_count", 4).number("llama.context_length", 32).number("llama.vocab_size", 6);
  builder.real("llama.rope.freq_base", 10000.0F).real("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  return builder;
}

/// Values first, first + 1, ... for a tensor of these dimensions.
inline std::vector<float> counted(const std::vector<std::uint64_t>& dimensions, float first = 0.0F) {
  std::uint64_t count = 1;
  for (const std::uint64_t size : dimensions) {
    count *= size;
  }
  std::vector<float> values(count);
  for (float& value : values) {
    value = first;
    first += 1.0F;
  }
  return values;
}

/// Adds the decoder's tensors, leaving out those named in `without`.
inline GgufBuilder& add_tiny_llama_tensors(GgufBuilder& builder, const std::vector<std::string>& without = {}) {
  const std::vector<std::pair<std::string, std::vector<std::uint64_t>>> tensors{
      {"token_embd.weight", {8, 6}},      {"blk.0.attn_norm.weight", {8}},    {"blk.0.attn_q.weight", {8, 8}},
      {"blk.0.attn_k.weight", {8, 4}},    {"blk.0.attn_v.weight", {8, 4}},    {"blk.0.attn_output.weight", {8, 8}},
      {"blk.0.ffn_norm.weight", {8}},     {"blk.0.ffn_gate.weight", {8, 16}}, {"blk.0.ffn_up.weight", {8, 16}},
      {"blk.0.ffn_down.weight", {16, 8}}, {"output_norm.weight", {8}}};
  for (const auto& [name, dimensions] : tensors) {
    bool left_out = false;
    for (const std::string& other : without) {
      left_out = left_out || other == name;
    }
    if (!left_out) {
      builder.floats(name, dimensions, counted(dimensions));
    }
  }
  return builder;
}

inline std::string tiny_llama() {
  GgufBuilder builder = tiny_llama_keys();
  return add_tiny_llama_tensors(builder).build();
}

}  // namespace chorale::test
