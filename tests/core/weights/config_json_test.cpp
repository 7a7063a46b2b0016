#include "core/weights/config_json.hpp"

#include "core/weights/expected_tensors.hpp"
#include "support/catch.hpp"
#include "support/input_error.hpp"

using namespace chorale;
using namespace chorale::test;
using nlohmann::json;

namespace {

json small() {
  return json{{"model_type", "llama"},  {"vocab_size", 100},        {"hidden_size", 64},
              {"num_hidden_layers", 2}, {"num_attention_heads", 4}, {"intermediate_size", 128}};
}

ModelConfig parsed(const json& changes) {
  json config = small();
  config.update(changes);
  return model_config_from_json(config, "config.json");
}

std::string refusal(const json& changes) {
  return input_error_of([&] { (void)parsed(changes); });
}

}  // namespace

TEST_CASE("keys that are left out get the family's defaults", "[weights]") {
  const ModelConfig config = parsed(json::object());
  CHECK(config.kv_heads == 4);
  CHECK(config.head_dim == 16);
  CHECK(config.context_length == 2048);
  CHECK(config.rms_epsilon == 1e-6);
  CHECK(config.rope_theta == 10000.0);
  CHECK(config.rope_scaling.kind == "none");
  CHECK_FALSE(config.tied_head);
  CHECK_FALSE(config.attention_bias);
  // Embedding, head, two layers of 4 attention and 3 MLP matrices with two norms, one norm.
  CHECK(parameter_count(config) == 2 * 100 * 64 + 2 * (4 * 64 * 64 + 3 * 64 * 128 + 2 * 64) + 64);
}

TEST_CASE("both styles of rotary settings are understood", "[weights]") {
  const json llama3{{"rope_type", "llama3"},   {"factor", 32.0},         {"low_freq_factor", 1.0},
                    {"high_freq_factor", 4.0}, {"rope_theta", 500000.0}, {"original_max_position_embeddings", 8192}};
  for (const ModelConfig& config :
       {parsed({{"rope_parameters", llama3}}), parsed({{"rope_scaling", llama3}, {"rope_theta", 500000}})}) {
    CHECK(config.rope_theta == 500000.0);
    CHECK(config.rope_scaling.kind == "llama3");
    CHECK(config.rope_scaling.factor == 32.0);
    CHECK(config.rope_scaling.low_frequency_factor == 1.0);
    CHECK(config.rope_scaling.high_frequency_factor == 4.0);
    CHECK(config.rope_scaling.original_context == 8192.0);
  }
  const ModelConfig linear = parsed({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}});
  CHECK(linear.rope_scaling.kind == "linear");
  CHECK(linear.rope_scaling.factor == 2.0);
  CHECK(
      parsed({{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 7.0}}}, {"rope_theta", 8.0}}).rope_theta ==
      7.0);
  CHECK(parsed({{"rope_scaling", nullptr}}).rope_scaling.kind == "none");
}

TEST_CASE("an independent head dimension and biases change the tensors expected", "[weights]") {
  const ModelConfig config = parsed({{"head_dim", 32},
                                     {"num_key_value_heads", 2},
                                     {"attention_bias", true},
                                     {"mlp_bias", true},
                                     {"tie_word_embeddings", true}});
  const auto tensors = expected_tensors(config);
  const auto shape = [&](const std::string& name) {
    for (const auto& tensor : tensors) {
      if (tensor.name == name) {
        return tensor.shape;
      }
    }
    return std::vector<std::int64_t>{};
  };
  CHECK(shape("model.layers.1.self_attn.q_proj.weight") == std::vector<std::int64_t>{128, 64});
  CHECK(shape("model.layers.1.self_attn.k_proj.bias") == std::vector<std::int64_t>{64});
  CHECK(shape("model.layers.1.self_attn.o_proj.weight") == std::vector<std::int64_t>{64, 128});
  CHECK(shape("model.layers.1.self_attn.o_proj.bias") == std::vector<std::int64_t>{64});
  CHECK(shape("model.layers.0.mlp.down_proj.bias") == std::vector<std::int64_t>{64});
  CHECK(shape("lm_head.weight").empty());
  CHECK(tensors.size() == 2 + 2 * (2 + 7 * 2));
}

TEST_CASE("what is not supported or not possible is refused with file and key", "[weights]") {
  const std::vector<std::pair<json, std::string>> cases{
      {{{"model_type", "qwen2"}}, "model_type is 'qwen2'"},
      {{{"model_type", nullptr}}, "model_type is 'missing'"},
      {{{"model_type", 3}}, "'model_type' is 3 where a string"},
      {{{"hidden_act", "gelu"}}, "hidden_act is 'gelu'"},
      {{{"quantization_config", {{"bits", 4}}}}, "quantization_config"},
      {{{"vocab_size", nullptr}}, "'vocab_size' is missing"},
      {{{"vocab_size", "100"}}, "'vocab_size' is \"100\" where an integer"},
      {{{"vocab_size", 1e3}}, "'vocab_size' is 1000.0 where an integer"},
      {{{"vocab_size", ~0ULL}}, "'vocab_size' is 18446744073709551615 where an integer"},
      {{{"vocab_size", 0}}, "vocabulary size is 0"},
      {{{"hidden_size", -64}}, "hidden size is -64"},
      {{{"num_hidden_layers", 1'000'000}}, "number of layers is 1000000"},
      {{{"num_attention_heads", 0}}, "number of heads is 0"},
      {{{"num_key_value_heads", 3}}, "4 heads do not divide into 3"},
      {{{"head_dim", 15}}, "head dimension 15 is odd"},
      {{{"head_dim", 1'000'000'000}}, "too large"},
      {{{"rms_norm_eps", 0}}, "not a positive number"},
      {{{"rope_theta", -1}}, "not a positive number"},
      {{{"tie_word_embeddings", 1}}, "true or false"},
      {{{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}}}, "rope_scaling.rope_type is 'yarn'"},
      {{{"rope_parameters", {{"rope_type", "longrope"}}}}, "rope_parameters.rope_type is 'longrope'"},
      {{{"rope_scaling", {{"type", "linear"}}}}, "rope_scaling.factor is 'missing'"},
      {{{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}, "impossible constants"},
      {{{"rope_scaling", "linear"}}, "'rope_scaling' is \"linear\" where an object"},
      {{{"partial_rotary_factor", 0.5}}, "partial_rotary_factor is '0.5'"},
      {{{"rope_parameters", {{"rope_theta", 1e4}, {"partial_rotary_factor", 0.25}}}}, "partial_rotary_factor"},
  };
  for (const auto& [changes, expected] : cases) {
    INFO(changes.dump());
    CHECK_THAT(refusal(changes), contains("config.json") && contains(expected));
  }
  CHECK_THAT(input_error_of([] { (void)model_config_from_json(json::array(), "config.json"); }),
             contains("not a JSON object"));
}
