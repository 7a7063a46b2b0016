#include "core/interop/peft_read.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>

#include "core/adapters/adapter_layout.hpp"
#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/interop/peft_config.hpp"
#include "core/weights/safetensors.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "base_model.model.";

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// PEFT saves an adapter with a name of its own one directory deeper.
std::string nested_hint(const fs::path& directory) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, ignored)) {
    if (is_file(entry.path() / kPeftConfigName)) return fmt::format(" Did you mean '{}'?", entry.path().string());
  }
  return "";
}

void expect_peft_directory(const fs::path& directory) {
  const std::string shown = directory.string();
  std::error_code ignored;
  if (!fs::is_directory(directory, ignored)) {
    throw InputError(fmt::format("{}: is no directory; an adapter is one with {} and {}. Check the path.", shown,
                                 kPeftConfigName, kPeftWeightsName));
  }
  if (!is_file(directory / kPeftConfigName)) {
    const std::string hint = nested_hint(directory);
    throw InputError(fmt::format("{}: holds no {}, so it is no adapter saved by PEFT.{}", shown, kPeftConfigName,
                                 hint.empty() ? " Give the directory that save_pretrained wrote." : hint));
  }
  if (is_file(directory / kPeftWeightsName)) return;
  if (is_file(directory / "adapter_model.bin")) {
    throw InputError(
        fmt::format("{}: its weights are pickled (adapter_model.bin), a form that can run any code when it is read. "
                    "Convert them in Python: safetensors.torch.save_file(torch.load('adapter_model.bin', "
                    "weights_only=True), '{}', metadata={{'format': 'pt'}}).",
                    shown, kPeftWeightsName));
  }
  throw InputError(fmt::format("{}: holds no {}. Copy the adapter again.", shown, kPeftWeightsName));
}

// What a tensor's name says: the module and which factor it is.
struct Key {
  std::string module;
  char factor = 'A';
};

// Why a tensor that is no factor of a linear cannot be left out.
std::string_view other_tensor(std::string_view name) {
  if (name.find("lora_magnitude_vector") != std::string_view::npos) {
    return "belongs to a weight-decomposed adapter (DoRA)";
  }
  if (name.find("lora_embedding_") != std::string_view::npos) return "adapts the embedding";
  if (name.find("token_adapter") != std::string_view::npos) return "holds trained token embeddings";
  if (name.ends_with(".bias")) return "is a trained bias";
  if (name.find(".lora_") == std::string_view::npos) return "is a whole trained module";
  return "is no factor of an adapter as PEFT names them (base_model.model.<module>.lora_A.weight)";
}

Key parse_key(const std::string& name, const std::string& path) {
  for (const char factor : {'A', 'B'}) {
    const std::string suffix = fmt::format(".lora_{}.weight", factor);
    if (name.starts_with(kPrefix) && name.ends_with(suffix) && name.size() > kPrefix.size() + suffix.size()) {
      return {name.substr(kPrefix.size(), name.size() - kPrefix.size() - suffix.size()), factor};
    }
  }
  throw InputError(
      fmt::format("{}: the tensor '{}' {}, which is not computed here. Merge the adapter into its base "
                  "with PEFT's merge_and_unload, or train a plain LoRA adapter of the decoder's linears.",
                  path, printable(name, 120), other_tensor(name)));
}

// Every linear of the base that can carry an adapter, in the order of AdapterLayout.
std::vector<AdapterSite> linears_of_model(const ModelConfig& model) {
  AdapterConfig all;
  all.rank = 1;
  all.targets = kAdapterTargets;
  return AdapterLayout(model, all).sites();
}

[[noreturn]] void unknown_module(const std::string& module, const ModelConfig& model, const std::string& path) {
  int layer = 0;
  const bool beyond = std::sscanf(module.c_str(), "model.layers.%d.", &layer) == 1 && layer >= model.layers;
  throw InputError(
      beyond ? fmt::format("{}: adapts '{}', but the base has layers 0 to {}. It was probably trained over another "
                           "base: give that one.",
                           path, printable(module), model.layers - 1)
             : fmt::format("{}: adapts '{}', which is none of the base's linears that can carry an adapter ({} of a "
                           "layer). Train one of those, or merge the adapter into its base with PEFT.",
                           path, printable(module), fmt::join(kAdapterTargets, ", ")));
}

std::vector<float> values_of(const TensorView& tensor, const std::string& path) {
  std::vector<float> values(static_cast<std::size_t>(tensor.element_count()));
  decode(tensor, values);
  if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) {
    throw InputError(
        fmt::format("{}: the tensor '{}' holds values that are not finite: its training failed. Use an "
                    "earlier state of the adapter.",
                    path, printable(tensor.name, 120)));
  }
  return values;
}

struct Pair {
  const TensorView* a = nullptr;
  const TensorView* b = nullptr;
};

class Reader {
 public:
  Reader(const ModelConfig& model, const fs::path& directory)
      : model_(model),
        config_((directory / kPeftConfigName).string()),
        file_((directory / kPeftWeightsName).string()),
        linears_(linears_of_model(model)) {}

  LoraAdapter read(const std::string& directory) {
    LoraAdapter adapter;
    adapter.directory = directory;
    adapter.rank = config_.rank();
    adapter.alpha = config_.alpha();
    adapter.scaling = config_.scaling();
    const double common = config_.common_scale();
    collect_pairs();
    std::int64_t missing = 0;
    for (const AdapterSite& linear : linears_) {
      const auto found = pairs_.find(linear.module);
      if (found == pairs_.end()) {
        missing += config_.targets(linear.module, linear.layer).value_or(false) ? 1 : 0;
        continue;
      }
      LoraFactors site = read_site(linear, found->second);
      adapter.uniform = adapter.uniform && site.rank == adapter.rank && site.scale == common;
      adapter.sites.push_back(std::move(site));
    }
    if (missing > 0) {
      spdlog::warn("{}: {} of the modules that {} targets have no tensors; they stay as in the base", file_.path(),
                   missing, kPeftConfigName);
    }
    return adapter;
  }

 private:
  void collect_pairs() {
    if (!file_.undecodable().empty()) {
      const auto& [name, dtype] = *file_.undecodable().begin();
      throw InputError(
          fmt::format("{}: the tensor '{}' is stored as {}; F32, F16 and BF16 can be read. Save the "
                      "adapter in one of these.",
                      file_.path(), printable(name, 120), dtype));
    }
    // PEFT saves whole modules beside adapters of theirs: the adapters' names say more about what is wrong.
    std::vector<const TensorView*> tensors;
    for (const TensorView& tensor : file_.tensors()) tensors.push_back(&tensor);
    std::stable_partition(tensors.begin(), tensors.end(),
                          [](const TensorView* tensor) { return tensor->name.find(".lora_") != std::string::npos; });
    for (const TensorView* tensor : tensors) {
      const Key key = parse_key(tensor->name, file_.path());
      const bool known = std::any_of(linears_.begin(), linears_.end(),
                                     [&](const AdapterSite& linear) { return linear.module == key.module; });
      if (!known) unknown_module(key.module, model_, file_.path());
      (key.factor == 'A' ? pairs_[key.module].a : pairs_[key.module].b) = tensor;
    }
    if (pairs_.empty()) {
      throw InputError(fmt::format("{}: holds no tensor, so there is no adapter. Save it again.", file_.path()));
    }
  }

  LoraFactors read_site(const AdapterSite& linear, const Pair& pair) const {
    if (pair.a == nullptr || pair.b == nullptr) {
      throw InputError(fmt::format("{}: '{}' has only one of lora_A and lora_B. Save the adapter again.", file_.path(),
                                   linear.module));
    }
    if (!config_.targets(linear.module, linear.layer).value_or(true)) {
      throw InputError(
          fmt::format("{}: holds tensors for '{}', which {} does not target: PEFT would leave them out. Correct "
                      "target_modules or layers_to_transform, or remove the tensors.",
                      file_.path(), linear.module, kPeftConfigName));
    }
    LoraFactors site;
    site.module = linear.module;
    site.target = linear.target;
    site.layer = linear.layer;
    site.rank = config_.rank_of(linear.module);
    site.scale = config_.scale_of(linear.module);
    if (!std::isfinite(static_cast<float>(site.scale))) {
      throw InputError(fmt::format("{}: 'lora_alpha' or 'alpha_pattern' gives {} the scale {}. Correct it.",
                                   config_.path(), linear.module, site.scale));
    }
    check_shape(*pair.a, {site.rank, linear.in}, linear, site.rank);
    check_shape(*pair.b, {linear.out, site.rank}, linear, site.rank);
    site.a = values_of(*pair.a, file_.path());
    site.b = values_of(*pair.b, file_.path());
    return site;
  }

  void check_shape(const TensorView& tensor, const std::vector<std::int64_t>& expected, const AdapterSite& linear,
                   std::int64_t rank) const {
    if (tensor.shape == expected) return;
    const std::size_t rank_axis = tensor.name.ends_with("lora_A.weight") ? 0 : 1;
    const bool other_rank = tensor.shape.size() == 2 && tensor.shape[1 - rank_axis] == expected[1 - rank_axis];
    throw InputError(fmt::format(
        "{}: the tensor '{}' has shape [{}] where [{}] is expected: {}", file_.path(), printable(tensor.name, 120),
        fmt::join(tensor.shape, ", "), fmt::join(expected, ", "),
        other_rank
            ? fmt::format("{} gives this module the rank {}. Correct 'r' or 'rank_pattern', or save the adapter again.",
                          kPeftConfigName, rank)
            : fmt::format("the base's {} takes {} values to {}. The adapter was probably trained over another base: "
                          "give that one.",
                          linear.target, linear.in, linear.out)));
  }

  const ModelConfig& model_;
  PeftConfig config_;
  SafetensorsFile file_;
  std::vector<AdapterSite> linears_;
  std::map<std::string, Pair> pairs_;
};

}  // namespace

LoraAdapter read_peft_adapter(const ModelConfig& model, const std::string& directory) {
  expect_peft_directory(directory);
  return Reader(model, directory).read(directory);
}

}  // namespace chorale
