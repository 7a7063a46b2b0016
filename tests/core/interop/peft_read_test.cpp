#include "core/interop/peft_read.hpp"

#include <functional>
#include <limits>

#include "support/catch.hpp"
#include "support/input_error.hpp"
#include "support/peft_directory.hpp"
#include "support/tiny_base.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

constexpr const char* kFirst = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";

// The message for an adapter with something changed.
std::string refusal_of(const std::function<void(PeftContent&)>& change) {
  const ScratchDirectory scratch;
  PeftContent content = plain_peft(tiny_config());
  change(content);
  const std::string directory = content.write(scratch.path() / "adapter");
  return input_error_of([&] { static_cast<void>(read_peft_adapter(tiny_config(), directory)); });
}

LoraAdapter read_changed(const std::function<void(PeftContent&)>& change) {
  const ScratchDirectory scratch;
  PeftContent content = plain_peft(tiny_config());
  change(content);
  return read_peft_adapter(tiny_config(), content.write(scratch.path() / "adapter"));
}

}  // namespace

TEST_CASE("a plain PEFT adapter is read site by site", "[interop]") {
  const LoraAdapter adapter = read_changed([](PeftContent&) {});
  CHECK(adapter.rank == 2);
  CHECK(adapter.uniform);
  REQUIRE(adapter.sites.size() == 6);
  CHECK(adapter.sites[0].module == "model.layers.0.self_attn.q_proj");
  CHECK(adapter.sites[5].module == "model.layers.2.self_attn.v_proj");
  for (const LoraFactors& site : adapter.sites) CHECK(site.scale == 3.0);
  CHECK(adapter.sites[0].a == plain_peft(tiny_config()).tensors.at(kFirst).values);
}

TEST_CASE("what an adapter's configuration must not say is refused with its key and a remedy", "[interop]") {
  struct Case {
    std::string key;
    nlohmann::ordered_json value;
    std::string expected;
  };
  const std::vector<Case> cases{
      {"peft_type", "LOHA", "only LORA adapters are read"},
      {"peft_type", nullptr, "'peft_type' is missing"},
      {"use_dora", true, "DoRA"},
      {"bias", "all", "biases of the base were trained"},
      {"bias", "lora_only", "merge_and_unload"},
      {"modules_to_save", {"lm_head"}, "trained in full"},
      {"trainable_token_indices", {1, 2}, "token embeddings"},
      {"fan_in_fan_out", true, "transposed"},
      {"lora_bias", true, "biases"},
      {"layer_replication", {{0, 2}}, "repeated layers"},
      {"target_parameters", {"x"}, "bare parameters"},
      {"use_qalora", true, "QA-LoRA"},
      {"alora_invocation_tokens", {3}, "aLoRA"},
      {"init_lora_weights", "pissa_niter_4", "path_initial_model_for_weight_conversion"},
      {"init_lora_weights", "olora", "changes the base's weights"},
      {"r", 0, "a whole number from 1 up"},
      {"r", 2.5, "a whole number from 1 up"},
      {"r", "2", "a number"},
      {"lora_alpha", "16", "a number"},
      {"lora_alpha", 1e300, "gives model.layers.0.self_attn.q_proj the scale"},
      {"use_rslora", "yes", "true or false"},
      {"rank_pattern", {1}, "no object"},
      {"rank_pattern", {{"q_proj", 1.5}}, "gives 1.5 for 'q_proj'"},
      {"rank_pattern", {{"q_proj", 4}}, "gives this module the rank 4"},
      {"rank_pattern", {{"q_(proj", 2}}, "does not compile"},
      {"alpha_pattern", {{"q_proj", "x"}}, "gives \"x\" for 'q_proj'"},
      {"alpha_pattern", {{"((.*)*)*(x|y)", 2}}, "gave up"},
      {"layers_to_transform", "all", "a layer's number"},
      {"layers_to_transform", {0, 1}, "does not target"},
      {"target_modules", {"q_proj"}, "v_proj', which adapter_config.json does not target"},
      {"target_modules", ".*q_proj", "does not target"},
      {"target_modules", {1, 2}, "a string or a list of strings"},
      {"exclude_modules", {"v_proj"}, "does not target"},
      {"r", 3, "shape [2, 24] where [3, 24] is expected"},
  };
  for (const Case& one : cases) {
    INFO(one.key << " = " << one.value.dump());
    const std::string message = refusal_of([&](PeftContent& content) { content.config[one.key] = one.value; });
    CHECK_THAT(message, contains(one.expected));
    CHECK_THAT(message, contains("adapter_"));  // names the file
    CHECK((message.ends_with('.') || message.ends_with('?')));
  }
}

TEST_CASE("tensors that are no factors of the base's linears are refused by name", "[interop]") {
  const auto with = [](const std::string& name, std::vector<std::int64_t> shape) {
    return refusal_of([&](PeftContent& content) { content.add(name, shape, 3); });
  };
  const std::string layer = "base_model.model.model.layers.0.self_attn.q_proj.";
  CHECK_THAT(with("base_model.model.model.embed_tokens.lora_embedding_A", {2, 48}), contains("adapts the embedding"));
  CHECK_THAT(with(layer + "lora_magnitude_vector", {32}), contains("DoRA"));
  CHECK_THAT(with(layer + "lora_B.bias", {32}), contains("is a trained bias"));
  CHECK_THAT(with("base_model.model.lm_head.weight", {48, 24}), contains("whole trained module"));
  CHECK_THAT(with("base_model.model.lm_head.lora_A.weight", {2, 24}), contains("adapts 'lm_head'"));
  CHECK_THAT(with("base_model.model.model.layers.0.block_sparse_moe.gate.lora_A.weight", {2, 24}),
             contains("none of the base's linears"));
  CHECK_THAT(with("base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight", {2, 24}),
             contains("the base has layers 0 to 2. It was probably trained over another base"));
  CHECK_THAT(with("model.layers.0.self_attn.q_proj.lora_A.weight", {2, 24}), contains("no factor"));
  CHECK_THAT(with("base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", {2, 24}),
             contains("no factor"));
  CHECK_THAT(with("base_model.model.model.layers.1.self_attn.k_proj.lora_A.weight", {2, 24}),
             contains("only one of lora_A and lora_B"));
}

TEST_CASE("shapes and values that cannot be the base's are refused", "[interop]") {
  CHECK_THAT(refusal_of([](PeftContent& content) {
               content.add(kFirst, {2, 25}, 1);
             }),
             contains("has shape [2, 25] where [2, 24] is expected: the base's q_proj takes 24 values to 32. The "
                      "adapter was probably trained over another base"));
  CHECK_THAT(refusal_of([](PeftContent& content) { content.add(kFirst, {48}, 1); }), contains("has shape [48]"));
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    CHECK_THAT(refusal_of([&](PeftContent& content) { content.tensors.at(kFirst).values[3] = bad; }),
               contains("not finite"));
  }
  CHECK_THAT(refusal_of([](PeftContent& content) { content.tensors.clear(); }), contains("holds no tensor"));
}

TEST_CASE("a directory that is no adapter is refused with what to give instead", "[interop]") {
  const ScratchDirectory scratch;
  const auto message = [&](const std::string& name) {
    return input_error_of([&] { static_cast<void>(read_peft_adapter(tiny_config(), scratch.file(name))); });
  };
  CHECK_THAT(message("absent"), contains("is no directory"));
  std::filesystem::create_directories(scratch.path() / "empty");
  CHECK_THAT(message("empty"), contains("save_pretrained"));
  const std::string nested = plain_peft(tiny_config()).write(scratch.path() / "outer" / "mine");
  CHECK_THAT(message("outer"), contains("Did you mean '" + nested + "'?"));
  std::filesystem::remove(scratch.path() / "outer" / "mine" / "adapter_model.safetensors");
  CHECK_THAT(message("outer/mine"), contains("holds no adapter_model.safetensors"));
  write_content(nested + "/adapter_model.bin", "PK");
  CHECK_THAT(message("outer/mine"), contains("safetensors.torch.save_file"));
  write_content(nested + "/adapter_model.safetensors", "not a safetensors file at all");
  CHECK_THAT(message("outer/mine"), contains("The file is damaged or incomplete"));
  write_content(nested + "/adapter_config.json", "{\"peft_type\": \"LORA\", \"peft_type\": \"IA3\"}");
  CHECK_THAT(message("outer/mine"), contains("adapter_config.json:1:"));
}

TEST_CASE("patterns give ranks and scales by PEFT's rules", "[interop]") {
  const LoraAdapter adapter = read_changed([](PeftContent& content) {
    content.config["rank_pattern"] = nlohmann::ordered_json::parse(R"({"layers.1.self_attn.q_proj": 4, "q_proj": 2,
                                                                       "proj": 7})");
    content.config["alpha_pattern"] =
        nlohmann::ordered_json::parse(R"({"^model\\.layers\\.0\\..*": 1, ".*v_proj": 8})");
    content.add_site(tiny_config(), 1, "q_proj", 4, 2);
  });
  CHECK_FALSE(adapter.uniform);
  // q and v of layers 0, 1, 2. "proj" matches nothing: a key must match from a dot, or the name's start, to its end.
  const std::vector<std::int64_t> ranks{2, 2, 4, 2, 2, 2};
  const std::vector<double> scales{0.5, 0.5, 1.5, 4.0, 3.0, 4.0};
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    CHECK(adapter.sites[i].rank == ranks[i]);
    CHECK(adapter.sites[i].scale == scales[i]);
  }
}

TEST_CASE("every way to name targets is understood", "[interop]") {
  const std::vector<nlohmann::ordered_json> ways{
      {"q_proj", "v_proj"},
      {"self_attn.q_proj", "self_attn.v_proj", "lm_head"},
      "all-linear",
      R"(.*\.(q|v)_proj)",
      R"((?:.*?(?:language|text).*?)?model\.layers\.[\d]+\.(?:self_attn|mlp)\.(?:q_proj|v_proj))",
      nullptr};
  for (const auto& way : ways) {
    INFO(way.dump());
    CHECK(read_changed([&](PeftContent& content) { content.config["target_modules"] = way; }).sites.size() == 6);
  }
  for (const auto& layers : {nlohmann::ordered_json({0, 1, 2}), nlohmann::ordered_json(nullptr)}) {
    CHECK(read_changed([&](PeftContent& content) { content.config["layers_to_transform"] = layers; }).sites.size() ==
          6);
  }
}
