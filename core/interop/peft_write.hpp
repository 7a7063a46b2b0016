// One member of a bank as a directory that PEFT loads, and what else reads PEFT's layout (vLLM, SGLang, LoRAX).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/adapters/adapter_bank.hpp"

namespace chorale {

/// What the files say besides their numbers.
struct PeftLabels {
  std::string base;   // base_model_name_or_path
  std::string title;  // of the README
};

/// Writes adapter_config.json, adapter_model.safetensors and a README.md to the new directory `directory`, which
/// appears complete or not at all. `member` is the position in bank.members(). Returns the SHA-256 of the first two by
/// name. StorageError.
std::map<std::string, std::string> write_peft_adapter(const std::string& directory, const ModelConfig& model,
                                                      const AdapterBank& bank, std::int64_t member,
                                                      const PeftLabels& labels);

/// The value vLLM's --max-lora-rank needs for adapters of this rank (it takes a few sizes only, 16 unless told
/// otherwise); 0 when the rank is beyond what it serves.
[[nodiscard]] std::int64_t vllm_rank_option(std::int64_t rank);

}  // namespace chorale
