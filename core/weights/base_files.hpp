// A base model on disk: its shape and its tensors under Hugging Face names, whichever container holds them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "core/weights/model_config.hpp"
#include "core/weights/tensor_source.hpp"

namespace chorale {

/// Frozen weights of a decoder, read on demand from a GGUF file or a Hugging Face directory.
///
/// Names are Hugging Face's: "model.embed_tokens.weight", "model.layers.<i>.self_attn.{q,k,v,o}_proj.weight",
/// "model.layers.<i>.mlp.{gate,up,down}_proj.weight", "model.layers.<i>.{input,post_attention}_layernorm.weight",
/// "model.norm.weight", "lm_head.weight" (absent when tied), plus ".bias" where the family has biases.
/// Rows of q_proj and k_proj come in half-split rotary order (Hugging Face's), whatever the file's order is.
class BaseFiles {
 public:
  virtual ~BaseFiles() = default;

  [[nodiscard]] virtual const ModelConfig& config() const = 0;
  [[nodiscard]] virtual const std::string& path() const = 0;
  /// "gguf" or "huggingface".
  [[nodiscard]] virtual std::string_view kind() const = 0;
  [[nodiscard]] virtual bool has(std::string_view name) const = 0;
  /// Row-major shape; InputError when absent.
  [[nodiscard]] virtual std::vector<std::int64_t> shape(std::string_view name) const = 0;
  /// Decodes to float32. out.size() must equal the product of shape(name).
  virtual void read(std::string_view name, std::span<float> out) const = 0;
  /// Rows [first, first + count) of the tensor read() gives (elements of a vector count as rows). Like read(), safe to
  /// call from several threads at once, so that large tensors can be decoded in parallel.
  virtual void read_rows(std::string_view name, std::int64_t first, std::int64_t count, std::span<float> out) const = 0;
  /// How the tensor's elements are stored; nothing where they are in no file but made by read().
  [[nodiscard]] virtual std::optional<StorageType> stored_as(std::string_view name) const;
  /// The rows that read_rows() gives, in their stored form; out.size() must be what they take. Only for tensors of
  /// which stored_as() knows something, and for several threads at once.
  virtual void copy_rows(std::string_view name, std::int64_t first, std::int64_t count, std::span<std::byte> out) const;
  /// Lets the kernel read the tensor from the disk in the background, for it will be needed soon.
  virtual void read_ahead(std::string_view /*name*/) const {}
  /// Lets the kernel drop the mapped pages of one tensor, or of all (they come back from the file when needed).
  virtual void release(std::string_view /*name*/) const {}
  virtual void release_pages() const = 0;
  /// SHA-256 (hex) over the tensors' file bytes in order of their names in the file. Computed once, and remembered;
  /// while one thread computes it others that ask wait, and may read tensors.
  [[nodiscard]] virtual std::string fingerprint() const = 0;
  /// The same in a thread beside the program's own, which requests to stop the program (core/base/interruption.hpp) do
  /// not concern: breaks off, with an empty result, when `stop` says so.
  [[nodiscard]] virtual std::string fingerprint_until(const std::stop_token& /*stop*/) const { return fingerprint(); }
};

/// Opens `path`: a .gguf file, or a directory with config.json and model.safetensors or
/// model.safetensors.index.json. Every length, offset, shape and required tensor is checked here, before any is read.
/// Throws InputError naming file, key or tensor, and the remedy.
[[nodiscard]] std::unique_ptr<BaseFiles> open_base(const std::string& path);

}  // namespace chorale
