// Adapters from anywhere as one ensemble.
#pragma once

#include <c10/core/Device.h>

#include <string>
#include <vector>

#include "core/adapters/adapter_bank.hpp"
#include "core/interop/lora_adapter.hpp"
#include "core/weights/model_config.hpp"

namespace chorale {

/// A bank whose member m is `adapters[m]`, exactly, whatever ranks, scales, targets and layers they have: its rank is
/// the largest, shorter A end in zero rows and B in zero columns, its targets and layers are the union, zeros where an
/// adapter has none, and B carries what its scale differs from the bank's. Adapters of one rank and scale are taken as
/// they are, bit for bit. At least one adapter, each read for `model`.
[[nodiscard]] AdapterBank stack_adapters(const ModelConfig& model, const std::vector<LoraAdapter>& adapters,
                                         at::Device device);

/// The same from PEFT directories, one member each, in their order. InputError as read_peft_adapter.
[[nodiscard]] AdapterBank load_adapter_ensemble(const ModelConfig& model, const std::vector<std::string>& directories,
                                                at::Device device);

}  // namespace chorale
