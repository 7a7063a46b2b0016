#include "core/interop/adapter_ensemble.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/mm.h>

#include "core/interop/peft_read.hpp"
#include "core/model/decoder.hpp"
#include "support/catch.hpp"
#include "support/peft_directory.hpp"
#include "support/tensors.hpp"
#include "support/tiny_base.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

// [members, tokens, vocabulary]
at::Tensor logits(const Decoder& decoder, std::int64_t members, const LinearHook* hook) {
  const at::NoGradGuard no_gradients;
  const std::vector<std::int32_t> ids{3, 11, 7, 40, 2, 2, 31};
  PackedBatch batch;
  for (std::int64_t m = 0; m < members; ++m) {
    const std::int64_t first = batch.rows();
    batch.add_span(ids.data(), ids.data() + ids.size(), -1, 0);
    for (std::int64_t row = first; row < batch.rows(); ++row) batch.add_output(row);
    batch.end_stream();
  }
  const at::Tensor x =
      decoder.run_layers(decoder.embed(batch.tokens), decoder.prepare(batch), 0, decoder.config().layers, hook);
  return at::mm(decoder.final_norm(x), decoder.head().t())
      .view({members, static_cast<std::int64_t>(ids.size()), decoder.config().vocabulary});
}

at::Tensor logits(const Decoder& decoder, const AdapterBank& bank) {
  return logits(decoder, bank.member_count(), bank.hook(bank.parameters(), /*training=*/false, 0).get());
}

// The factors written out with torch alone: W' = W + scale * B A, by the names in the file.
class MergedBase : public TinyBase {
 public:
  MergedBase(const PeftContent& content, const std::map<std::string, double>& scales, double scale) {
    for (const auto& [name, tensor] : content.tensors) {
      if (!name.ends_with(".lora_A.weight")) continue;
      const std::string module = name.substr(17, name.size() - 17 - 14);
      const PeftTensor& b = content.tensors.at("base_model.model." + module + ".lora_B.weight");
      const auto found = scales.find(module);
      added_[module + ".weight"] = {tensor, b, found == scales.end() ? scale : found->second};
    }
  }

  void read(std::string_view name, std::span<float> out) const override {
    TinyBase::read(name, out);
    const auto found = added_.find(std::string(name));
    if (found == added_.end()) return;
    const auto& [a, b, scale] = found->second;
    const auto rank = static_cast<std::size_t>(a.shape[0]);
    const auto columns = static_cast<std::size_t>(a.shape[1]);
    for (std::size_t i = 0; i < out.size(); ++i) {
      double sum = 0.0;
      for (std::size_t k = 0; k < rank; ++k) {
        sum += static_cast<double>(b.values[i / columns * rank + k]) *
               static_cast<double>(a.values[k * columns + i % columns]);
      }
      out[i] = static_cast<float>(static_cast<double>(out[i]) + scale * sum);
    }
  }

 private:
  struct Update {
    PeftTensor a, b;
    double scale;
  };
  std::map<std::string, Update> added_;
};

at::Tensor merged_logits(const PeftContent& content, double scale, const std::map<std::string, double>& scales = {}) {
  const MergedBase files(content, scales, scale);
  const Decoder decoder(files, {});
  return logits(decoder, 1, nullptr)[0];
}

// Four adapters that agree in nothing.
std::vector<PeftContent> different_adapters() {
  const ModelConfig model = tiny_config();
  std::vector<PeftContent> contents(4);
  contents[0] = plain_peft(model, 1);  // scale 3
  contents[1].config["r"] = 5;
  contents[1].config["lora_alpha"] = 2.5;
  contents[1].config["use_rslora"] = true;
  contents[1].config["target_modules"] = {"down_proj", "k_proj"};
  contents[1].config["layers_to_transform"] = {1};
  contents[1].add_site(model, 1, "down_proj", 5, 2);
  contents[1].add_site(model, 1, "k_proj", 5, 2);
  contents[2].config["r"] = 1;
  contents[2].config["lora_alpha"] = -1;
  contents[2].config["target_modules"] = {"o_proj"};
  contents[2].add_site(model, 2, "o_proj", 1, 3);
  contents[3].config["rank_pattern"] = {{"up_proj", 3}};
  contents[3].config["alpha_pattern"] = {{R"(model\.layers\.0\..*)", 9}};
  contents[3].config["target_modules"] = "all-linear";
  contents[3].add_site(model, 0, "up_proj", 3, 4);
  contents[3].add_site(model, 2, "up_proj", 3, 5);
  contents[3].add_site(model, 0, "q_proj", 2, 6);
  return contents;
}

}  // namespace

TEST_CASE("adapters that differ in everything are the members of one bank", "[interop]") {
  const ScratchDirectory scratch;
  const std::vector<PeftContent> contents = different_adapters();
  std::vector<std::string> directories;
  for (const PeftContent& content : contents) {
    directories.push_back(content.write(scratch.path() / std::to_string(directories.size())));
  }
  const TinyBase base;
  const Decoder decoder(base, {});
  const AdapterBank bank = load_adapter_ensemble(tiny_config(), directories, at::kCPU);
  CHECK(bank.config().rank == 5);
  CHECK(bank.config().layers.empty());
  CHECK(bank.config().targets ==
        std::vector<std::string>{"q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"});
  const at::Tensor together = logits(decoder, bank);
  const std::vector<at::Tensor> expected{merged_logits(contents[0], 3.0),
                                         merged_logits(contents[1], 2.5 / std::sqrt(5.0)),
                                         merged_logits(contents[2], -1.0),
                                         merged_logits(contents[3], 3.0,
                                                       {{"model.layers.0.mlp.up_proj", 3.0},
                                                        {"model.layers.2.mlp.up_proj", 2.0},
                                                        {"model.layers.0.self_attn.q_proj", 4.5}})};
  for (std::int64_t m = 0; m < 4; ++m) {
    const auto index = static_cast<std::size_t>(m);
    const AdapterBank alone = load_adapter_ensemble(tiny_config(), {directories[index]}, at::kCPU);
    CHECK(difference(together[m], logits(decoder, alone)[0]) < 1e-4);
    CHECK(difference(together[m], expected[index]) < 1e-4);
    for (std::int64_t other = 0; other < m; ++other) CHECK(difference(together[m], together[other]) > 1e-2);
  }
}

TEST_CASE("adapters of one rank and scale are taken bit for bit", "[interop]") {
  const ScratchDirectory scratch;
  std::vector<std::string> directories;
  for (std::uint64_t seed : {1U, 2U}) {
    PeftContent content = plain_peft(tiny_config(), seed);
    content.config["use_rslora"] = true;
    directories.push_back(content.write(scratch.path() / std::to_string(seed)));
  }
  const AdapterBank bank = load_adapter_ensemble(tiny_config(), directories, at::kCPU);
  CHECK(bank.config().rank == 2);
  CHECK(bank.config().alpha == 6.0);
  CHECK(bank.config().scaling == AdapterScaling::rank_stabilised);
  CHECK(bank.config().dropout == 0.0);
  for (std::int64_t m = 0; m < 2; ++m) {
    const LoraAdapter adapter = read_peft_adapter(tiny_config(), directories[static_cast<std::size_t>(m)]);
    REQUIRE(adapter.sites.size() == bank.layout().sites().size());
    for (std::size_t i = 0; i < adapter.sites.size(); ++i) {
      const AdapterSite& site = bank.layout().sites()[i];
      CHECK(adapter.sites[i].module == site.module);
      const at::Tensor a = bank.a(m, site).contiguous();
      const at::Tensor b = bank.b(m, site).contiguous();
      CHECK(std::equal(adapter.sites[i].a.begin(), adapter.sites[i].a.end(), a.const_data_ptr<float>()));
      CHECK(std::equal(adapter.sites[i].b.begin(), adapter.sites[i].b.end(), b.const_data_ptr<float>()));
    }
  }
}
