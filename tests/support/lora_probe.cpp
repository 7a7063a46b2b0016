// Lets Python tests see adapters, losses, gradients and training as they are, token ids in and tensors out.
//   lora_probe SPEC.json OUT_DIR [SPEC.json OUT_DIR ...]
// SPEC: tests/support/lora_spec.hpp. Written to OUT_DIR, all float32, a member named by its global number:
//   initial.safetensors    member_000.<module>.A [rank, in] and .B [out, rank] before training
//   scores.safetensors     log_probabilities [members, examples, choices] and base_log_probabilities, or
//                          log_likelihoods [members, answer tokens]; logits_<i> [members, tokens, vocabulary]; all
//                          before training
//   gradients.safetensors  as initial.safetensors: gradients of the first step
//   final.safetensors      as initial.safetensors: after the last step
//   report.json            loss and divergence before training, every step's report, the examples of every batch
#include <ATen/core/grad_mode.h>
#include <ATen/ops/mm.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "core/inference/predictor.hpp"
#include "core/model/device.hpp"
#include "core/training/data_order.hpp"
#include "core/training/trainer.hpp"
#include "core/weights/decode.hpp"
#include "core/weights/safetensors.hpp"
#include "tests/support/lora_spec.hpp"

namespace {

using namespace chorale;
using test::LoraSpec;

std::string tensor_name(std::uint32_t member, const AdapterSite& site, char factor) {
  return fmt::format("member_{:03}.{}.{}", member, site.module, factor);
}

// Replaces the members' adapters by those of a file that holds every one of them.
void load_adapters(const std::string& path, AdapterBank& bank) {
  const SafetensorsFile file(path);
  const auto fill = [&](const std::string& name, const at::Tensor& target) {
    const auto found = std::find_if(file.tensors().begin(), file.tensors().end(),
                                    [&](const TensorView& tensor) { return tensor.name == name; });
    CHORALE_ASSERT(found != file.tensors().end(), "no tensor " + name);
    CHORALE_ASSERT(at::IntArrayRef(found->shape) == target.sizes(), "another shape for " + name);
    decode_rows(*found, 0, row_count(*found),
                {target.mutable_data_ptr<float>(), static_cast<std::size_t>(target.numel())});
  };
  for (std::int64_t m = 0; m < bank.member_count(); ++m) {
    for (const AdapterSite& site : bank.layout().sites()) {
      const std::uint32_t member = bank.members()[static_cast<std::size_t>(m)];
      fill(tensor_name(member, site, 'A'), bank.a(m, site));
      fill(tensor_name(member, site, 'B'), bank.b(m, site));
    }
  }
}

// `buffer`: the bank's parameters or gradients.
void write_factors(const std::string& path, const AdapterBank& bank, const at::Tensor& buffer) {
  std::vector<TensorToWrite> tensors;
  const std::int64_t rank = bank.config().rank;
  for (std::int64_t m = 0; m < bank.member_count(); ++m) {
    const auto* row = buffer.const_data_ptr<float>() + m * bank.layout().parameters();
    for (const AdapterSite& site : bank.layout().sites()) {
      const std::uint32_t member = bank.members()[static_cast<std::size_t>(m)];
      tensors.push_back({tensor_name(member, site, 'A'),
                         {rank, site.in},
                         {row + site.a_offset, static_cast<std::size_t>(rank * site.in)}});
      tensors.push_back({tensor_name(member, site, 'B'),
                         {site.out, rank},
                         {row + site.b_offset, static_cast<std::size_t>(rank * site.out)}});
    }
  }
  write_safetensors(path, std::move(tensors));
}

// Logits of every position under every member: [members, tokens, vocabulary].
at::Tensor logits(const Decoder& decoder, const AdapterBank& bank, const std::vector<std::int32_t>& ids) {
  PackedBatch batch;
  for (std::int64_t m = 0; m < bank.member_count(); ++m) {
    const std::int64_t first = batch.rows();
    batch.add_span(ids.data(), ids.data() + ids.size(), -1, 0);
    for (std::int64_t row = first; row < batch.rows(); ++row) batch.add_output(row);
    batch.end_stream();
  }
  const auto hook = bank.hook(bank.parameters(), /*training=*/false, 0);
  const at::Tensor x =
      decoder.run_layers(decoder.embed(batch.tokens), decoder.prepare(batch), 0, decoder.config().layers, hook.get());
  return at::mm(decoder.final_norm(x), decoder.head().t())
      .view({bank.member_count(), static_cast<std::int64_t>(ids.size()), decoder.config().vocabulary})
      .contiguous();
}

void write_scores(const std::string& path, const LoraSpec& spec, const Decoder& decoder, const AdapterBank& bank,
                  const ExampleBatcher& batcher) {
  const at::NoGradGuard no_gradients;
  Predictor predictor(decoder, batcher, bank.layout().lowest_layer(), 5, spec.prefix_budget);
  std::vector<TensorToWrite> tensors;
  Predictions members;
  Predictions base;
  TokenPredictions tokens;
  if (spec.kind == TaskKind::completion) {
    tokens = predictor.tokens(bank, nullptr);
    tensors.push_back(
        {"log_likelihoods", {bank.member_count(), static_cast<std::int64_t>(tokens.tokens())}, tokens.log_likelihoods});
  } else {
    members = predictor.choices(bank, nullptr);
    base = predictor.base_choices(nullptr);
    const auto examples = static_cast<std::int64_t>(members.examples);
    const auto choices = static_cast<std::int64_t>(members.choices);
    tensors.push_back({"log_probabilities", {bank.member_count(), examples, choices}, members.log_probabilities});
    tensors.push_back({"base_log_probabilities", {1, examples, choices}, base.log_probabilities});
  }
  std::vector<at::Tensor> kept;
  for (const std::vector<std::int32_t>& ids : spec.sequences) {
    kept.push_back(logits(decoder, bank, ids));
    const at::Tensor& values = kept.back();
    tensors.push_back({fmt::format("logits_{}", kept.size() - 1),
                       values.sizes().vec(),
                       {values.const_data_ptr<float>(), static_cast<std::size_t>(values.numel())}});
  }
  write_safetensors(path, std::move(tensors));
}

class StepLog : public TrainingObserver {
 public:
  void stepped(const StepReport& report) override {
    nlohmann::json members = nlohmann::json::array();
    for (const MemberReport& member : report.members) {
      members.push_back({{"member", member.member},
                         {"loss", member.loss},
                         {"divergence", member.divergence},
                         {"gradient_norm", member.gradient_norm}});
    }
    steps.push_back(members);
  }
  nlohmann::json steps = nlohmann::json::array();
};

void probe(const LoraSpec& spec, const std::string& out) {
  std::filesystem::create_directories(out);
  const auto files = open_base(spec.model);
  const Decoder decoder(*files, {});
  AdapterBank bank(files->config(), spec.adapter, spec.bank);
  if (!spec.initial.empty()) load_adapters(spec.initial, bank);
  const ExampleBatcher batcher(spec.examples, spec.kind, spec.scoring, at::kCPU, decoder.residual_dtype());
  write_factors(out + "/initial.safetensors", bank, bank.parameters());
  write_scores(out + "/scores.safetensors", spec, decoder, bank, batcher);

  StepLog log;
  SoloCommunicator group;
  TrainerInputs inputs;
  inputs.decoder = &decoder;
  inputs.bank = &bank;
  inputs.train = &batcher;
  inputs.training = spec.training;
  inputs.vary_data_order = spec.vary_data_order;
  inputs.seed = spec.bank.seed;
  inputs.prefix_budget = spec.prefix_budget;
  inputs.group = &group;
  inputs.observer = &log;
  Trainer trainer(inputs);
  const Trainer::Gradients first = trainer.compute_gradients(0);
  write_factors(out + "/gradients.safetensors", bank, bank.gradients());
  const DataOrder order(batcher.size(), spec.training.batch_size, spec.bank.seed, spec.vary_data_order);
  nlohmann::json batches = nlohmann::json::array();
  for (std::int64_t step = 0; step < spec.training.steps; ++step) {
    nlohmann::json of_members = nlohmann::json::array();
    for (const std::uint32_t member : bank.members()) of_members.push_back(order.batch(member, step));
    batches.push_back(of_members);
    trainer.step();
  }
  write_factors(out + "/final.safetensors", bank, bank.parameters());
  const nlohmann::json report = {
      {"loss", first.loss}, {"divergence", first.divergence}, {"steps", log.steps}, {"batches", batches}};
  std::ofstream(out + "/report.json") << report.dump() << "\n";
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3 || count % 2 == 0) {
    fmt::print(stderr, "usage: lora_probe SPEC.json OUT_DIR [SPEC.json OUT_DIR ...]\n");
    return 2;
  }
  try {
    start_threads(1);
    for (int i = 1; i < count; i += 2) {
      std::ifstream file(arguments[i]);
      probe(test::read_lora_spec(nlohmann::json::parse(file)), arguments[i + 1]);
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    const auto* ours = dynamic_cast<const Error*>(&error);
    return ours == nullptr ? 70 : static_cast<int>(ours->code());
  }
  return 0;
}
