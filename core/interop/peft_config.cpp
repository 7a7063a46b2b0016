#include "core/interop/peft_config.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "core/base/errors.hpp"
#include "core/base/mapped_file.hpp"
#include "core/base/printable.hpp"
#include "core/base/strict_json.hpp"

namespace chorale {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::int64_t kLargestRank = 65536;

// Keys that mean another computation when they hold anything, with what to do about it.
struct Refusal {
  std::string_view key;
  std::string_view what;
  std::string_view remedy;
};
constexpr std::string_view kMerge = "Merge it into its base with PEFT's merge_and_unload and use the result as a base.";
constexpr std::array<Refusal, 15> kRefusals{{
    {"use_dora", "a weight-decomposed adapter (DoRA)", kMerge},
    {"modules_to_save", "modules that were trained in full", kMerge},
    {"trainable_token_indices", "trained token embeddings", kMerge},
    {"target_parameters", "adapters of bare parameters", kMerge},
    {"lora_bias", "adapters with biases", kMerge},
    {"layer_replication", "a base with repeated layers", kMerge},
    {"fan_in_fan_out", "transposed weights, which this model family does not have",
     "Set it to false when the base is of the Llama family."},
    {"use_qalora", "a quantisation-aware adapter (QA-LoRA)", "Train a plain LoRA adapter."},
    {"alora_invocation_tokens", "an adapter that is switched on by tokens (aLoRA)", "Train a plain LoRA adapter."},
    {"arrow_config", "a router over several adapters", "Give the adapters themselves."},
    {"use_bdlora", "a block-diagonal adapter", "Train a plain LoRA adapter."},
    {"kasa_config", "an adapter with singular values of its own (KaSA)", "Train a plain LoRA adapter."},
    {"monteclora_config", "an adapter that draws its weights (MonteCLoRA)", "Train a plain LoRA adapter."},
    {"velora_config", "a LoRA variant (VeLoRA)", "Train a plain LoRA adapter."},
    {"megatron_config", "an adapter of Megatron's parallel layers", "Convert it to Hugging Face's layout."},
}};

// Keys that change nothing once the adapter is trained, besides those read below.
constexpr std::array<std::string_view, 14> kHarmless{
    "task_type",    "base_model_name_or_path", "revision",       "inference_mode",     "auto_mapping",
    "peft_version", "megatron_core",           "loftq_config",   "qalora_group_size",  "eva_config",
    "corda_config", "lora_ga_config",          "runtime_config", "ensure_weight_tying"};
constexpr std::array<std::string_view, 15> kRead{"peft_type",
                                                 "r",
                                                 "lora_alpha",
                                                 "lora_dropout",
                                                 "bias",
                                                 "use_rslora",
                                                 "rank_pattern",
                                                 "alpha_pattern",
                                                 "target_modules",
                                                 "exclude_modules",
                                                 "layers_to_transform",
                                                 "layers_pattern",
                                                 "init_lora_weights",
                                                 "fan_in_fan_out",
                                                 "use_dora"};

bool says_nothing(const json& value) {
  return value.is_null() || value == false || ((value.is_array() || value.is_object()) && value.empty());
}

std::string shown(const json& value) {
  return printable(value.dump(-1, ' ', false, json::error_handler_t::replace));
}

class Keys {
 public:
  Keys(const json& object, const std::string& path) : object_(object), path_(path) {}

  // Absent and null are the same.
  const json* find(std::string_view key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  [[noreturn]] void refuse(std::string_view key, const json& value, std::string_view expected) const {
    throw InputError(fmt::format("{}: '{}' is {} where {} is expected. Correct it, or save the adapter again.", path_,
                                 key, shown(value), expected));
  }

  double number(std::string_view key, double otherwise) const {
    const json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_number()) refuse(key, *value, "a number");
    return value->get<double>();
  }

  bool boolean(std::string_view key) const {
    const json* value = find(key);
    if (value == nullptr) return false;
    if (!value->is_boolean()) refuse(key, *value, "true or false");
    return value->get<bool>();
  }

  std::vector<std::string> strings(std::string_view key, const json& value) const {
    const bool valid =
        value.is_array() && std::all_of(value.begin(), value.end(), [](const json& item) { return item.is_string(); });
    if (!valid) refuse(key, value, "a string or a list of strings");
    return value.get<std::vector<std::string>>();
  }

 private:
  const json& object_;
  const std::string& path_;
};

void refuse_other_kinds(const Keys& keys, const std::string& path) {
  const json* kind = keys.find("peft_type");
  if (kind == nullptr || *kind != "LORA") {
    throw InputError(
        fmt::format("{}: 'peft_type' is {}; only LORA adapters are read. Train a LoRA adapter, or merge "
                    "this one into its base.",
                    path, kind == nullptr ? "missing" : shown(*kind)));
  }
  for (const auto& [key, what, remedy] : kRefusals) {
    const json* value = keys.find(key);
    if (value == nullptr || says_nothing(*value)) continue;
    throw InputError(
        fmt::format("{}: '{}' is {}: {}, which is not computed here. {}", path, key, shown(*value), what, remedy));
  }
  const json* bias = keys.find("bias");
  if (bias != nullptr && *bias != "none") {
    throw InputError(fmt::format("{}: 'bias' is {}: biases of the base were trained, which is not computed here. {}",
                                 path, shown(*bias), kMerge));
  }
  // These starts move a part of the base's weights into the adapter, so that base + adapter alone is something else.
  const json* start = keys.find("init_lora_weights");
  if (start == nullptr || !start->is_string()) return;
  const auto& name = start->get_ref<const std::string&>();
  const std::array<std::string_view, 5> changing{"pissa", "olora", "corda", "loftq", "lora_ga"};
  if (std::any_of(changing.begin(), changing.end(), [&](std::string_view one) { return name.starts_with(one); })) {
    throw InputError(fmt::format(
        "{}: 'init_lora_weights' is '{}', which changes the base's weights: the adapter does not fit the published "
        "base. Save it again with PEFT's save_pretrained(..., path_initial_model_for_weight_conversion=...).",
        path, printable(name)));
  }
}

void warn_of_unknown(const json& object, const std::string& path) {
  for (const auto& [key, value] : object.items()) {
    const auto is_key = [&key = key](std::string_view name) { return name == key; };
    const bool known = std::any_of(kHarmless.begin(), kHarmless.end(), is_key) ||
                       std::any_of(kRead.begin(), kRead.end(), is_key) ||
                       std::any_of(kRefusals.begin(), kRefusals.end(), [&](const Refusal& r) { return is_key(r.key); });
    if (!known && !says_nothing(value)) {
      spdlog::warn("{}: the key '{}' ({}) is not known here and is ignored", path, printable(key), shown(value));
    }
  }
}

std::vector<std::pair<ModulePattern, double>> read_patterns(const ordered_json& object, const char* key, bool whole,
                                                            const std::string& path) {
  std::vector<std::pair<ModulePattern, double>> patterns;
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return patterns;
  const auto refuse = [&](const std::string& what) {
    throw InputError(fmt::format("{}: '{}' {}. Correct it, or save the adapter again.", path, key, what));
  };
  if (!found->is_object()) refuse("is no object from module names to numbers");
  for (const auto& [name, value] : found->items()) {
    const bool valid = whole ? value.is_number_integer() && value >= 1 && value <= kLargestRank : value.is_number();
    if (!valid) refuse(fmt::format("gives {} for '{}'", shown(json(value)), printable(name)));
    try {
      patterns.emplace_back(ModulePattern::tail(name), value.get<double>());
    } catch (const InputError& error) {
      throw InputError(fmt::format("{}: '{}': {}", path, key, error.what()));
    }
  }
  return patterns;
}

std::vector<std::int64_t> read_layers(const Keys& keys) {
  const json* value = keys.find("layers_to_transform");
  if (value == nullptr) return {};
  const json list = value->is_array() ? *value : json::array({*value});
  std::vector<std::int64_t> layers;
  for (const json& layer : list) {
    if (!layer.is_number_integer() || layer < 0 || layer > 1'000'000) {
      keys.refuse("layers_to_transform", *value, "a layer's number or a list of them");
    }
    layers.push_back(layer.get<std::int64_t>());
  }
  return layers;
}

}  // namespace

bool PeftConfig::Selection::holds(const std::string& module) const {
  if (pattern) return pattern->matches(module);
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return module == name || module.ends_with("." + name); });
}

PeftConfig::PeftConfig(const std::string& path) : path_(path) {
  const MappedFile file(path);
  const std::string_view text{reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  const json object = parse_strict_json(text, path);
  if (!object.is_object()) {
    throw InputError(fmt::format("{}: is not a JSON object. Save the adapter again.", path));
  }
  const Keys keys(object, path_);
  refuse_other_kinds(keys, path_);
  warn_of_unknown(object, path_);

  const double rank = keys.number("r", static_cast<double>(rank_));
  if (rank != std::floor(rank) || rank < 1.0 || rank > static_cast<double>(kLargestRank)) {
    keys.refuse("r", *keys.find("r"), "a whole number from 1 up");
  }
  rank_ = static_cast<std::int64_t>(rank);
  alpha_ = keys.number("lora_alpha", alpha_);
  scaling_ = keys.boolean("use_rslora") ? AdapterScaling::rank_stabilised : AdapterScaling::standard;
  // The first key that matches counts, so their order in the file does.
  const ordered_json in_order = ordered_json::parse(text);
  ranks_ = read_patterns(in_order, "rank_pattern", /*whole=*/true, path_);
  alphas_ = read_patterns(in_order, "alpha_pattern", /*whole=*/false, path_);
  layers_ = read_layers(keys);

  const auto selection = [&](const char* key) -> std::optional<Selection> {
    const json* value = keys.find(key);
    if (value == nullptr || says_nothing(*value)) return std::nullopt;
    Selection result;
    if (!value->is_string()) {
      result.names = keys.strings(key, *value);
      return result;
    }
    if (*value == "all-linear") return std::nullopt;  // whatever the tensors are for
    try {
      result.pattern = ModulePattern::whole(value->get_ref<const std::string&>());
    } catch (const InputError&) {
      return std::nullopt;  // a construction of Python's alone: the tensors say what there is
    }
    return result;
  };
  targets_ = selection("target_modules");
  excluded_ = selection("exclude_modules");
}

double PeftConfig::first_match(const char* key, const std::vector<std::pair<ModulePattern, double>>& patterns,
                               const std::string& module, double otherwise) const {
  try {
    for (const auto& [pattern, value] : patterns) {
      if (pattern.matches(module)) return value;
    }
  } catch (const InputError& error) {
    throw InputError(fmt::format("{}: '{}': {}", path_, key, error.what()));
  }
  return otherwise;
}

std::int64_t PeftConfig::rank_of(const std::string& module) const {
  return static_cast<std::int64_t>(first_match("rank_pattern", ranks_, module, static_cast<double>(rank_)));
}

double PeftConfig::scale_of(const std::string& module) const {
  return scale(rank_of(module), first_match("alpha_pattern", alphas_, module, alpha_));
}

double PeftConfig::scale(std::int64_t rank, double alpha) const {
  AdapterConfig config;
  config.rank = rank;
  config.alpha = alpha;
  config.scaling = scaling_;
  return adapter_scale(config);
}

std::optional<bool> PeftConfig::targets(const std::string& module, std::int64_t layer) const {
  if (!targets_) return std::nullopt;
  try {
    if (excluded_ && excluded_->holds(module)) return false;
    if (!targets_->holds(module)) return false;
  } catch (const InputError& error) {
    throw InputError(fmt::format("{}: 'target_modules' or 'exclude_modules': {}", path_, error.what()));
  }
  // A name written out in full is meant whatever the layers are.
  if (std::find(targets_->names.begin(), targets_->names.end(), module) != targets_->names.end()) return true;
  return layers_.empty() || std::find(layers_.begin(), layers_.end(), layer) != layers_.end();
}

}  // namespace chorale
