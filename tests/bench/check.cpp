#include "bench/check.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>
#include <torch/csrc/autograd/autograd.h>

#include <numeric>

#include "bench/training_setup.hpp"
#include "core/adapters/adapter_bank.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/kernels/adapted_linear.hpp"
#include "core/kernels/attention.hpp"
#include "core/kernels/rms_norm.hpp"
#include "core/kernels/swiglu.hpp"
#include "core/model/output_head.hpp"
#include "core/parallel/communicator.hpp"
#include "core/training/trainer.hpp"

namespace chorale::bench {
namespace {

double relative(const at::Tensor& value, const at::Tensor& expected) {
  const at::Tensor difference = value.to(at::kDouble) - expected.to(at::kDouble);
  return difference.norm().item<double>() / expected.to(at::kDouble).norm().item<double>();
}

// The whole step of one member written with the kernels' plain twins, weights read once more from the base.
class PlainModel {
 public:
  PlainModel(const BenchBase& base, const Decoder& decoder) : base_(base), decoder_(decoder) {}

  // Mean loss over the predicted tokens or examples.
  [[nodiscard]] at::Tensor loss(const ExampleBatch& batch, const AdapterBank& bank, const at::Tensor& leaf,
                                const ExampleBatcher& batcher) const {
    const ModelConfig& config = base_.config();
    const PreparedBatch prepared = decoder_.prepare(batch.packed);
    const HeadShape shape{config.heads, config.kv_heads, config.head_dim};
    at::Tensor x = decoder_.embed(batch.packed.tokens);
    for (std::int64_t i = 0; i < config.layers; ++i) {
      const std::string layer = fmt::format("model.layers.{}.", i);
      const auto product = [&](const at::Tensor& input, const char* module, const char* name) {
        const at::Tensor weight = read(layer + module + "." + name + ".weight");
        at::Tensor y = at::mm(input, weight.t());
        for (const AdapterSite& site : bank.layout().sites()) {
          if (site.layer != i || site.target != name) continue;
          const std::int64_t r = bank.config().rank;
          const at::Tensor a = leaf[0].narrow(0, site.a_offset, r * site.in).view({r, site.in}).to(y.scalar_type());
          const at::Tensor b = leaf[0].narrow(0, site.b_offset, r * site.out).view({site.out, r}).to(y.scalar_type());
          y = y + at::mm(at::mm(input, a.t()), b.t()) * adapter_scale(bank.config());
        }
        return y;
      };
      const auto norm = [&](const at::Tensor& input, const char* name) {
        return rms_norm_plain(input, read(layer + name + ".weight").to(decoder_.residual_dtype()), config.rms_epsilon,
                              decoder_.dtype());
      };
      const at::Tensor normed = norm(x, "input_layernorm");
      const at::Tensor qkv = at::cat({product(normed, "self_attn", "q_proj"), product(normed, "self_attn", "k_proj"),
                                      product(normed, "self_attn", "v_proj")},
                                     1);
      x = x + product(attention_plain(qkv, at::Tensor(), prepared.all_rows, shape), "self_attn", "o_proj");
      const at::Tensor second = norm(x, "post_attention_layernorm");
      const at::Tensor gate_up = at::cat({product(second, "mlp", "gate_proj"), product(second, "mlp", "up_proj")}, 1);
      x = x + product(swiglu_plain(gate_up), "mlp", "down_proj");
    }
    const at::Tensor hidden =
        rms_norm_plain(x.index_select(0, prepared.output_index),
                       read("model.norm.weight").to(decoder_.residual_dtype()), config.rms_epsilon, decoder_.dtype());
    const at::Tensor head = read(config.tied_head ? "model.embed_tokens.weight" : "lm_head.weight");
    const ScoringPlan& plan = batch.scoring;
    if (batcher.kind() == TaskKind::completion) {
      return token_log_likelihoods_plain(hidden, head, plan.pick_output, plan.pick_token).mean().neg();
    }
    const at::Tensor labels = at::tensor(batcher.label_tokens(), at::kLong).to(decoder_.device());
    const at::Tensor log_p =
        at::mm(hidden, head.index_select(0, labels).t()).to(decoder_.residual_dtype()).log_softmax(1);
    return log_p.index_select(0, plan.label_output)
        .gather(1, plan.label_columns.gather(1, plan.labels.unsqueeze(1)))
        .mean()
        .neg();
  }

 private:
  [[nodiscard]] at::Tensor read(const std::string& name) const {
    at::Tensor tensor = at::empty(base_.shape(name), at::kFloat);
    base_.read(name, {tensor.mutable_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())});
    return tensor.to(decoder_.dtype()).to(decoder_.device());
  }

  const BenchBase& base_;
  const Decoder& decoder_;
};

AdapterBank bank_of(const Options& options, const Decoder& decoder, std::vector<std::uint32_t> members) {
  BankOptions bank;
  bank.members = std::move(members);
  bank.device = decoder.device();
  return {decoder.config(), adapter_of(options, decoder.config()), bank};
}

// Loss of the last step and parameters of the last member after `steps` of a bank's members.
std::pair<double, at::Tensor> trained(const Options& options, const Decoder& decoder, const ExampleBatcher& train,
                                      AdapterBank& bank, std::int64_t steps) {
  SoloCommunicator group;
  LastLosses observer;
  TrainerInputs inputs = trainer_inputs(options, decoder, train, bank, group, observer);
  inputs.training.steps = steps;
  Trainer trainer(inputs);
  for (std::int64_t i = 0; i < steps; ++i) trainer.step();
  trainer.settle();
  return {observer.losses.back(), bank.parameters()[bank.member_count() - 1].clone()};
}

void demand(bool holds, const char* what, double found, double bound) {
  if (!holds) {
    throw InternalError(
        fmt::format("internal error: {}: a relative difference of {:.2e} is beyond {:.0e}.", what, found, bound));
  }
}

}  // namespace

CheckResult check(const Options& options, const BenchBase& base, const Decoder& decoder) {
  const bool coarse = decoder.dtype() == at::kBFloat16;
  const double loss_bound = coarse ? 2e-2 : 1e-5;
  const double vector_bound = coarse ? 1e-1 : 1e-3;
  const TaskKind kind = options.answer_only ? TaskKind::multiple_choice : TaskKind::completion;
  CheckResult result;

  Options small = options;
  small.members = 1;
  small.batch = std::min<std::int64_t>(options.batch, 2);
  const ExampleSet few = random_examples(small, decoder.config(), 1);
  const ExampleBatcher few_batches(few, kind, Scoring::label_token, decoder.device(), decoder.residual_dtype());
  AdapterBank alone = bank_of(options, decoder, {0});
  // B starts at zero, and with it half of all gradients: some steps first.
  static_cast<void>(trained(small, decoder, few_batches, alone, 2));
  {
    SoloCommunicator group;
    LastLosses observer;
    Trainer trainer(trainer_inputs(small, decoder, few_batches, alone, group, observer));
    const Trainer::Gradients fused = trainer.compute_gradients(0);
    std::vector<std::size_t> all(few.examples.size());
    std::iota(all.begin(), all.end(), 0);
    const ExampleBatch batch = few_batches.build({all});
    const at::AutoGradMode with_gradients(true);
    const at::Tensor leaf = alone.parameters().detach().clone().requires_grad_(true);
    const at::Tensor loss = PlainModel(base, decoder).loss(batch, alone, leaf, few_batches);
    const at::Tensor gradient = torch::autograd::grad({loss}, {leaf})[0];
    const double plain = loss.item<double>();
    result.plain_loss = std::abs(fused.loss[0] - plain) / std::abs(plain);
    result.plain_gradient = relative(alone.gradients(), gradient);
  }
  demand(result.plain_loss < loss_bound, "the fused loss against plain operations", result.plain_loss, loss_bound);
  demand(result.plain_gradient < vector_bound, "the fused gradient against plain operations", result.plain_gradient,
         vector_bound);

  const ExampleSet set = random_examples(options, decoder.config(), kStepsPerEpoch);
  const ExampleBatcher train(set, kind, Scoring::label_token, decoder.device(), decoder.residual_dtype());
  std::vector<std::uint32_t> members(static_cast<std::size_t>(options.members));
  std::iota(members.begin(), members.end(), 0U);
  AdapterBank together = bank_of(options, decoder, members);
  AdapterBank last = bank_of(options, decoder, {members.back()});
  const at::Tensor start = last.parameters()[0].clone();
  const auto [loss_together, parameters_together] = trained(options, decoder, train, together, 2);
  const auto [loss_alone, parameters_alone] = trained(options, decoder, train, last, 2);
  result.alone_loss = std::abs(loss_together - loss_alone) / std::abs(loss_alone);
  result.alone_update = relative(parameters_together - start, parameters_alone - start);
  demand(result.alone_loss < loss_bound, "a member's loss among others against alone", result.alone_loss, loss_bound);
  demand(result.alone_update < vector_bound, "a member's update among others against alone", result.alone_update,
         vector_bound);
  return result;
}

}  // namespace chorale::bench
