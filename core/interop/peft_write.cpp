#include "core/interop/peft_write.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "core/base/atomic_file.hpp"
#include "core/interop/new_directory.hpp"
#include "core/interop/peft_read.hpp"
#include "core/weights/safetensors.hpp"

namespace chorale {
namespace {

using nlohmann::ordered_json;

// Engines declare lora_alpha an integer, and only some take a fraction: write one where it is one.
ordered_json number(double value) {
  const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
  return whole ? ordered_json(static_cast<std::int64_t>(value)) : ordered_json(value);
}

std::string config_of(const AdapterConfig& adapter, const ModelConfig& model, const PeftLabels& labels) {
  // A base of which all layers are adapted needs no list, which some engines do not know.
  const bool all_layers = adapter.layers.empty() || std::cmp_equal(adapter.layers.size(), model.layers);
  ordered_json config;
  config["alpha_pattern"] = ordered_json::object();
  config["auto_mapping"] = nullptr;
  config["base_model_name_or_path"] = labels.base;
  config["bias"] = "none";
  config["fan_in_fan_out"] = false;
  config["inference_mode"] = true;
  config["init_lora_weights"] = true;
  config["layers_pattern"] = nullptr;
  config["layers_to_transform"] = all_layers ? ordered_json() : ordered_json(adapter.layers);
  config["lora_alpha"] = number(adapter.alpha);
  config["lora_dropout"] = adapter.dropout;
  config["modules_to_save"] = nullptr;
  config["peft_type"] = "LORA";
  config["r"] = adapter.rank;
  config["rank_pattern"] = ordered_json::object();
  config["revision"] = nullptr;
  config["target_modules"] = adapter.targets;
  config["task_type"] = "CAUSAL_LM";
  config["use_dora"] = false;
  config["use_rslora"] = adapter.scaling == AdapterScaling::rank_stabilised;
  return config.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string readme_of(const AdapterConfig& adapter, const PeftLabels& labels) {
  std::string text = fmt::format(
      "# {}\n\nA LoRA adapter written by Chorale " CHORALE_VERSION
      ": rank {}, alpha {}{}, on {} of {}.\n\n"
      "Load it over its base, `{}`, with PEFT:\n\n"
      "```python\n"
      "from peft import PeftModel\n"
      "from transformers import AutoModelForCausalLM\n\n"
      "base = AutoModelForCausalLM.from_pretrained({}, dtype=\"float32\")\n"
      "model = PeftModel.from_pretrained(base, \".\")\n"
      "```\n",
      labels.title, adapter.rank, adapter.alpha,
      adapter.scaling == AdapterScaling::rank_stabilised ? " (rank-stabilised)" : "", fmt::join(adapter.targets, ", "),
      adapter.layers.empty() ? "every layer" : fmt::format("layers {}", fmt::join(adapter.layers, ", ")), labels.base,
      labels.base.ends_with(".gguf")
          ? fmt::format("\"DIRECTORY\", gguf_file=\"{}\"", labels.base.substr(labels.base.find_last_of('/') + 1))
          : fmt::format("\"{}\"", labels.base));
  if (const std::int64_t option = vllm_rank_option(adapter.rank); option > 16) {
    text += fmt::format("\nvLLM serves it with `--max-lora-rank {}`.\n", option);
  }
  return text;
}

}  // namespace

std::int64_t vllm_rank_option(std::int64_t rank) {
  constexpr std::array<std::int64_t, 9> sizes{1, 8, 16, 32, 64, 128, 256, 320, 512};
  const auto* found = std::lower_bound(sizes.begin(), sizes.end(), rank);
  return found == sizes.end() ? 0 : *found;
}

std::map<std::string, std::string> write_peft_adapter(const std::string& directory, const ModelConfig& model,
                                                      const AdapterBank& bank, std::int64_t member,
                                                      const PeftLabels& labels) {
  const AdapterConfig& adapter = bank.config();
  const at::Tensor row = bank.parameters()[member].detach().to(at::kCPU, at::kFloat).contiguous();
  const auto part = [&](std::int64_t offset, std::int64_t count) {
    return std::span<const float>(row.const_data_ptr<float>() + offset, static_cast<std::size_t>(count));
  };
  std::vector<TensorToWrite> tensors;
  for (const AdapterSite& site : bank.layout().sites()) {
    const std::string start = "base_model.model." + site.module;
    tensors.push_back({start + ".lora_A.weight", {adapter.rank, site.in}, part(site.a_offset, adapter.rank * site.in)});
    tensors.push_back(
        {start + ".lora_B.weight", {site.out, adapter.rank}, part(site.b_offset, adapter.rank * site.out)});
  }
  NewDirectory output(directory);
  output.note(kPeftWeightsName, write_safetensors(output.file(kPeftWeightsName), tensors, {{"format", "pt"}}));
  output.write(kPeftConfigName, config_of(adapter, model, labels));
  // Not noted: people add to it.
  write_file_atomically(output.file("README.md"), readme_of(adapter, labels));
  output.commit();
  return output.files();
}

}  // namespace chorale
