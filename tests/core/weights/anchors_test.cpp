// The published anchors of SmolLM2-135M-Instruct: single values and sums computed by an independent reader.
#include <filesystem>
#include <numeric>

#include "core/weights/base_files.hpp"
#include "core/weights/gguf.hpp"
#include "support/catch.hpp"

using namespace chorale;

namespace {

const std::string model = std::string(CHORALE_SOURCE_DIR) + "/.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf";

bool model_is_there() {
  if (std::filesystem::exists(model)) {
    return true;
  }
  WARN("SKIPPED: " << model << " is absent; launch/quickstart fetches it");
  return false;
}

std::vector<float> decoded(const TensorSource& file, const std::string& name) {
  const TensorView& tensor = file.at(name);
  std::vector<float> values(static_cast<std::size_t>(tensor.element_count()));
  decode(tensor, values);
  return values;
}

double sum(const std::vector<float>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

TEST_CASE("SmolLM2's tensors have the published values and sums", "[weights]") {
  if (!model_is_there()) {
    return;
  }
  const GgufFile file(model);
  CHECK(file.tensors().size() == 272);
  CHECK(file.metadata().values().size() == 33);
  CHECK(file.metadata().get_strings("tokenizer.ggml.tokens").size() == 49152);
  CHECK(file.metadata().get_strings("tokenizer.ggml.merges").size() == 48900);

  const auto embedding = decoded(file, "token_embd.weight");
  const std::vector<double> row{0.10960388, 0.01743698, -0.09465790, 0.08220291};
  for (std::size_t i = 0; i < row.size(); ++i) {
    CHECK(static_cast<double>(embedding[504 * 576 + i]) == Approx(row[i]).margin(5e-9));
  }
  CHECK(sum(embedding) == Approx(-15353.0445).margin(5e-5));

  const auto query = decoded(file, "blk.0.attn_q.weight");
  CHECK(std::vector<float>(query.begin(), query.begin() + 4) ==
        std::vector<float>{-0.09631348F, 0.15734863F, -0.09631348F, -0.73046875F});
  CHECK(sum(query) == Approx(59.22322).margin(5e-6));

  const auto down = decoded(file, "blk.29.ffn_down.weight");
  CHECK(std::vector<float>(down.end() - 4, down.end()) ==
        std::vector<float>{0.056640625F, 0.203125F, -0.08984375F, 0.056640625F});
  CHECK(sum(down) == Approx(49.83571).margin(5e-6));

  const auto norm = decoded(file, "output_norm.weight");
  CHECK(std::vector<float>(norm.begin(), norm.begin() + 3) == std::vector<float>{1.7578125F, 1.8203125F, 1.78125F});
}

TEST_CASE("SmolLM2 as a base has the published shape and half-split rotary rows", "[weights]") {
  if (!model_is_there()) {
    return;
  }
  const auto base = open_base(model);
  const ModelConfig& config = base->config();
  CHECK(config.vocabulary == 49152);
  CHECK(config.hidden == 576);
  CHECK(config.layers == 30);
  CHECK(config.heads == 9);
  CHECK(config.kv_heads == 3);
  CHECK(config.head_dim == 64);
  CHECK(config.feed_forward == 1536);
  CHECK(config.context_length == 8192);
  CHECK(config.rope_theta == 100000.0);
  CHECK(config.rms_epsilon == Approx(1e-5));
  CHECK(config.tied_head);
  // Python's hashlib over the gguf package's arrays in order of names.
  CHECK(base->fingerprint() == "8c036d21926f21e5a20b94c4a6b6b8d5649c272d2503759414e02f0d0a2aaa69");

  const GgufFile file(model);
  for (const auto& [hugging_face, in_file, heads] :
       {std::tuple("model.layers.17.self_attn.q_proj.weight", "blk.17.attn_q.weight", std::size_t{9}),
        std::tuple("model.layers.17.self_attn.k_proj.weight", "blk.17.attn_k.weight", std::size_t{3})}) {
    const auto pairs = decoded(file, in_file);
    std::vector<float> halves(pairs.size());
    base->read(hugging_face, halves);
    int wrong = 0;
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t s = 0; s < 2; ++s) {
        for (std::size_t i = 0; i < 32; ++i) {
          const auto to = static_cast<std::ptrdiff_t>((h * 64 + s * 32 + i) * 576);
          const auto from = static_cast<std::ptrdiff_t>((h * 64 + 2 * i + s) * 576);
          wrong += std::equal(halves.begin() + to, halves.begin() + to + 576, pairs.begin() + from) ? 0 : 1;
        }
      }
    }
    CHECK(wrong == 0);
  }
}
