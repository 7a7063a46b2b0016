// LoRA adapters saved by PEFT, or by any tool that writes its layout.
#pragma once

#include <string>

#include "core/interop/lora_adapter.hpp"
#include "core/weights/model_config.hpp"

namespace chorale {

inline constexpr const char* kPeftConfigName = "adapter_config.json";
inline constexpr const char* kPeftWeightsName = "adapter_model.safetensors";

/// The adapter in `directory`, checked against the base it is to be used over: the tensors decide which linears it
/// changes, and each must have its partner, the rank that the configuration gives it and the base's sizes. Tensors of
/// F64, F32, F16 and BF16 are read as float32. InputError naming file, key or tensor, and the remedy, for anything that
/// would give other numbers than PEFT does.
[[nodiscard]] LoraAdapter read_peft_adapter(const ModelConfig& model, const std::string& directory);

}  // namespace chorale
