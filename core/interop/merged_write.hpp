// A member merged into its base: a complete Hugging Face model directory.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/adapters/adapter_bank.hpp"
#include "core/weights/base_files.hpp"
#include "core/weights/tensor_source.hpp"

namespace chorale {

struct MergedOptions {
  StorageType type = StorageType::float32;    // float32, float16 or bfloat16
  std::uint64_t shard_bytes = 5'000'000'000;  // of tensors in one file; a larger tensor has a file of its own
};

/// Bytes that the tensors of a merged model take.
[[nodiscard]] std::uint64_t merged_bytes(const ModelConfig& model, StorageType type);

/// Writes every tensor of the base to the new directory `directory`, adapted linears as W + scale * B A computed in
/// float32 and rounded once, with configuration and tokenizer; it appears complete or not at all. `member` is the
/// position in bank.members(). A few tens of megabytes are in memory at a time. Returns the files' SHA-256 by name.
/// StorageError; InputError when a value does not fit the type.
std::map<std::string, std::string> write_merged_model(const std::string& directory, const BaseFiles& base,
                                                      const AdapterBank& bank, std::int64_t member,
                                                      const MergedOptions& options);

}  // namespace chorale
