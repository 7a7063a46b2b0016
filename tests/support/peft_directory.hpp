// Small PEFT directories for tests: a configuration and random factors, with whatever a test wants changed.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/adapters/adapter_layout.hpp"
#include "core/base/random.hpp"
#include "core/weights/safetensors.hpp"
#include "support/scratch_directory.hpp"

namespace chorale::test {

struct PeftTensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

/// What one directory holds; `tensors` by their names in the file.
struct PeftContent {
  nlohmann::ordered_json config = {
      {"peft_type", "LORA"}, {"r", 2}, {"lora_alpha", 6}, {"target_modules", {"q_proj", "v_proj"}}, {"bias", "none"}};
  std::map<std::string, PeftTensor> tensors;

  void add(const std::string& name, std::vector<std::int64_t> shape, std::uint64_t seed) {
    std::size_t count = 1;
    for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
    PeftTensor tensor{std::move(shape), std::vector<float>(count)};
    RandomStream(seed, 0, Purpose::test, tensors.size()).fill_uniform(tensor.values, -0.4F, 0.4F);
    tensors[name] = std::move(tensor);
  }

  /// Both factors at a linear of a layer.
  void add_site(const ModelConfig& model, std::int64_t layer, const std::string& target, std::int64_t rank,
                std::uint64_t seed) {
    const bool attention = target == "q_proj" || target == "k_proj" || target == "v_proj" || target == "o_proj";
    const std::string start =
        "base_model.model.model.layers." + std::to_string(layer) + "." + (attention ? "self_attn." : "mlp.") + target;
    const LinearShape shape = linear_shape(model, target);
    add(start + ".lora_A.weight", {rank, shape.in}, seed);
    add(start + ".lora_B.weight", {shape.out, rank}, seed);
  }

  /// Writes both files to `directory`, which is made; returns it.
  std::string write(const std::filesystem::path& directory) const {
    std::filesystem::create_directories(directory);
    write_content((directory / "adapter_config.json").string(), config.dump(1));
    std::vector<TensorToWrite> list;
    for (const auto& [name, tensor] : tensors) list.push_back({name, tensor.shape, tensor.values});
    write_safetensors((directory / "adapter_model.safetensors").string(), list, {{"format", "pt"}});
    return directory.string();
  }
};

/// q and v of every layer, rank 2.
inline PeftContent plain_peft(const ModelConfig& model, std::uint64_t seed = 1) {
  PeftContent content;
  for (std::int64_t layer = 0; layer < model.layers; ++layer) {
    content.add_site(model, layer, "q_proj", 2, seed);
    content.add_site(model, layer, "v_proj", 2, seed);
  }
  return content;
}

}  // namespace chorale::test
