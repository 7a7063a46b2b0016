#include "bench/profile.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/randn.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <numeric>

#include "bench/meter.hpp"
#include "bench/training_setup.hpp"
#include "core/kernels/attention.hpp"
#include "core/kernels/low_rank_pass.hpp"
#include "core/kernels/rms_norm.hpp"
#include "core/kernels/swiglu.hpp"
#include "core/model/output_head.hpp"
#include "core/training/adamw.hpp"

namespace chorale::bench {
namespace {

// The frozen products of a pass, with their inputs.
class Recorder : public LinearHook {
 public:
  struct Call {
    std::int64_t layer;
    LinearGroup group;
    FrozenLinear frozen;
    at::Tensor x, y;
    std::vector<std::int64_t> offsets;
    double forward_ms = 0.0, backward_ms = 0.0;  // the frozen product by itself
  };
  at::Tensor linear(std::int64_t layer, LinearGroup group, const FrozenLinear& frozen, const at::Tensor& x,
                    const RowScope& scope, const InputOrigin& /*origin*/) const override {
    calls.push_back({layer, group, frozen, x, frozen.forward(x), scope.stream_offsets, 0.0, 0.0});
    return calls.back().y;
  }
  std::vector<at::Tensor> tensors_of(std::int64_t /*layer*/, at::ScalarType /*type*/) const override { return {}; }
  std::unique_ptr<LinearHook> with_tensors(std::int64_t /*layer*/,
                                           const std::vector<at::Tensor>& /*tensors*/) const override {
    return std::make_unique<Recorder>();
  }
  mutable std::vector<Call> calls;
};

struct Part {
  std::string name;
  double ms = 0.0;
  double limit_ms = 0.0;
  std::string limit;
};

class Profiler {
 public:
  Profiler(const Options& options, const Decoder& decoder, const Peak& peak)
      : options_(options),
        decoder_(decoder),
        device_(decoder.device()),
        peak_(peak),
        set_(random_examples(options, decoder.config(), kStepsPerEpoch)),
        batcher_(set_, options.answer_only ? TaskKind::multiple_choice : TaskKind::completion, Scoring::label_token,
                 device_, decoder.residual_dtype()),
        bank_(decoder.config(), adapter_of(options, decoder.config()), bank_options()) {}

  std::string table() {
    const at::NoGradGuard no_gradients;
    prepare();
    frozen_products();
    low_rank();
    attentions();
    elementwise();
    if (!options_.answer_only) head();
    adapters();
    const double step = whole_step();
    double sum = 0.0;
    double limits = 0.0;
    for (const Part& part : parts_) {
      sum += part.ms;
      limits += part.limit_ms;
    }
    parts_.push_back({"the rest: autograd, allocation, small operations", step - sum, 0.0, ""});
    std::string text =
        "| part | ms | share of the step | limit, ms | % of limit | limit given by |\n|---|---|---|---|---|---|\n";
    for (const Part& part : parts_) {
      const bool limited = part.limit_ms > 0.0;
      text += fmt::format("| {} | {:.1f} | {:.0f} % | {} | {} | {} |\n", part.name, part.ms, 100.0 * part.ms / step,
                          limited ? fmt::format("{:.1f}", part.limit_ms) : "",
                          limited ? fmt::format("{:.0f}", 100.0 * part.limit_ms / part.ms) : "", part.limit);
    }
    return text + fmt::format("| whole step | {:.1f} | 100 % | {:.1f} | {:.0f} | {:.3f} TFLOP/s, {} |\n", step, limits,
                              100.0 * limits / step, peak_.operations * 1e-12, peak_.source);
  }

 private:
  [[nodiscard]] BankOptions bank_options() const {
    BankOptions bank;
    bank.members.resize(static_cast<std::size_t>(options_.members));
    std::iota(bank.members.begin(), bank.members.end(), 0U);
    bank.device = device_;
    return bank;
  }

  void add(std::string name, double ms, double operations) {
    parts_.push_back({std::move(name), ms, operations / peak_.operations * 1e3, "operations"});
  }
  // `bytes` in `calls` calls that each move as many.
  void add_moving(std::string name, double ms, double bytes, double calls) {
    parts_.push_back({std::move(name), ms, bytes / copy_bandwidth(device_, bytes / calls) * 1e3, "bytes"});
  }
  [[nodiscard]] at::Tensor like(const at::Tensor& tensor) const { return at::randn(tensor.sizes(), tensor.options()); }

  // Forward and backward of f at x.
  template <typename Function>
  double both_ways(const at::Tensor& x, const Function& f) {
    const at::AutoGradMode with_gradients(true);
    const at::Tensor leaf = x.detach().clone().requires_grad_(true);
    at::Tensor upstream;
    return fastest(device_, [&] {
      const at::Tensor y = f(leaf);
      if (!upstream.defined()) upstream = at::randn(y.sizes(), y.options().requires_grad(false));
      static_cast<void>(torch::autograd::grad({y}, {leaf}, {upstream}));
    });
  }

  void prepare() {
    std::vector<std::vector<std::size_t>> examples;
    for (std::int64_t m = 0; m < options_.members; ++m) {
      examples.emplace_back(static_cast<std::size_t>(options_.batch));
      std::iota(examples.back().begin(), examples.back().end(), std::size_t{0});
    }
    const double ms = fastest(device_, [&] {
      batch_ = batcher_.build(examples, BatchPadding{.row_multiple = ExampleBatcher::kRowMultiple});
      prepared_ = decoder_.prepare(batch_.packed);
      x_ = decoder_.embed(batch_.packed.tokens);
    });
    parts_.push_back({"batch: rows, plans, embedding", ms, 0.0, ""});
    lowest_ = bank_.layout().lowest_layer();
    hidden_ = decoder_.run_layers(x_, prepared_, lowest_, decoder_.config().layers, &recorder_);
  }

  void frozen_products() {
    double operations = 0.0;
    double backward_operations = 0.0;
    double forward = 0.0;
    double backward = 0.0;
    for (Recorder::Call& call : recorder_.calls) {
      const double here = 2.0 * static_cast<double>(call.x.numel()) * static_cast<double>(call.y.size(1));
      operations += here;
      call.forward_ms = fastest(
          device_, [&] { static_cast<void>(call.frozen.product(call.x)); }, 5);
      forward += call.forward_ms;
      if (&call == &recorder_.calls.front()) continue;  // nothing to train below the first
      backward_operations += here;
      const at::Tensor dy = like(call.y);
      call.backward_ms = fastest(
          device_, [&] { static_cast<void>(call.frozen.input_gradient(dy)); }, 5);
      backward += call.backward_ms;
    }
    add("frozen products, forward", forward, operations);
    add("frozen products, input gradients", backward, backward_operations);
  }

  // What the frozen products take longer with the members' updates, and the adapters' gradients.
  void low_rank() {
    double ms = 0.0;
    double operations = 0.0;
    for (const Recorder::Call& call : recorder_.calls) {
      const AdapterSlot* slot = bank_.layout().find(call.layer, call.group);
      if (slot == nullptr) continue;
      const std::int64_t rank = options_.rank;
      const auto linears = static_cast<std::int64_t>(slot->columns.size());
      const auto rows = static_cast<double>(call.x.size(0));
      const at::Tensor a = like(call.x.new_empty({options_.members, linears * rank, slot->in}));
      const at::Tensor b = like(call.x.new_empty({options_.members, slot->b_rows, rank})).transpose(1, 2);
      const at::Tensor dy = like(call.y);
      const at::Tensor u = at::empty_like(call.x.new_empty({call.x.size(0), linears * rank}));
      at::Tensor da = at::empty_like(a);
      at::Tensor db = at::empty_like(b);
      LowRankPass forward{call.offsets, u, {{a, 0, 0, 1.0}}, {}};
      LowRankPass backward{call.offsets, at::empty_like(u), {}, {{a, 0, 0, 1.0}}};
      std::int64_t row = 0;
      for (std::int64_t l = 0; l < linears; ++l) {
        const AdaptedColumns& columns = slot->columns[static_cast<std::size_t>(l)];
        const at::Tensor b_here = b.narrow(2, row, columns.count);
        forward.ups.push_back({b_here, l * rank, columns.begin, 1.0});
        backward.downs.push_back({b_here, columns.begin, l * rank, 1.0});
        row += columns.count;
      }
      ms += fastest(
                device_, [&] { static_cast<void>(call.frozen.product(call.x, &forward)); }, 5) -
            call.forward_ms;
      const bool lowest = &call == &recorder_.calls.front();
      ms +=
          fastest(
              device_,
              [&] { lowest ? run_downs(dy, backward) : static_cast<void>(call.frozen.input_gradient(dy, &backward)); },
              5) -
          call.backward_ms;
      ms += fastest(
          device_,
          [&] {
            std::int64_t at_row = 0;
            for (const LowRankDown& down : backward.downs) {
              at::Tensor db_here = db.narrow(2, at_row, down.m.size(2));
              grouped_outer(u, down.first, dy, down.begin, db_here, call.offsets, 1.0);
              at_row += down.m.size(2);
            }
            grouped_outer(backward.u, 0, call.x, 0, da, call.offsets, 1.0);
          },
          5);
      operations += 6.0 * rows * static_cast<double>(rank * (linears * slot->in + slot->b_rows));
    }
    add("low-rank products, forward and backward", ms, operations);
  }

  void attentions() {
    const ModelConfig& config = decoder_.config();
    const HeadShape shape{config.heads, config.kv_heads, config.head_dim};
    const Recorder::Call* inner = nullptr;
    for (const Recorder::Call& call : recorder_.calls) {
      if (call.group == LinearGroup::qkv) inner = &call;
    }
    if (inner == nullptr) return;
    const double one = both_ways(
        inner->y, [&](const at::Tensor& qkv) { return attention(qkv, at::Tensor(), prepared_.all_rows, shape); });
    const auto layers = static_cast<double>(config.layers - lowest_ - (options_.answer_only ? 1 : 0));
    const double operations = 6.0 * static_cast<double>(options_.sequence * config.heads * config.head_dim) *
                              static_cast<double>(options_.members * options_.batch * options_.sequence);
    add("attention, forward and backward", one * layers, operations * layers);
  }

  void elementwise() {
    const ModelConfig& config = decoder_.config();
    const auto layers = static_cast<double>(config.layers - lowest_);
    const double full = layers - (options_.answer_only ? 1.0 : 0.0);  // the last layer has hardly any rows then
    const at::ScalarType type = recorder_.calls.front().x.scalar_type();
    const at::Tensor weight = at::randn({config.hidden}, x_.options());
    const double norm = norm_and_sum(weight, type);
    const auto elements = static_cast<double>(x_.numel());
    const auto size = static_cast<double>(x_.element_size());
    const auto product = static_cast<double>(at::elementSize(type));
    // x, what is added and their sum; the sum's gradient from above and on to below; the norm and its gradient
    add_moving("RMS norms with the sums before them", norm * (2.0 * full + 1.0),
               (2.0 * full + 1.0) * elements * (5.0 * size + 3.0 * product), 8.0 * (2.0 * full + 1.0));
    const at::Tensor gate_up = at::randn({x_.size(0), 2 * config.feed_forward}, x_.options().dtype(type));
    const double swiglu_ms = both_ways(gate_up, [](const at::Tensor& x) { return swiglu(x); });
    // gate and up read twice, their product written, its gradient read, theirs written
    add_moving("SwiGLU", swiglu_ms * full, full * static_cast<double>(gate_up.numel()) * product * 4.0, 4.0 * full);
  }

  // Forward and backward of the residual stream's addition and norm, with gradients from both sides.
  double norm_and_sum(const at::Tensor& weight, at::ScalarType type) {
    const at::AutoGradMode with_gradients(true);
    const at::Tensor leaf = x_.detach().clone().requires_grad_(true);
    const at::Tensor delta = like(x_.to(type));
    const at::Tensor normed = like(delta);
    const at::Tensor residual = like(x_);
    return fastest(device_, [&] {
      const ResidualNorm both = add_rms_norm(leaf, delta, weight, decoder_.config().rms_epsilon, type);
      static_cast<void>(torch::autograd::grad({both.normed, both.residual}, {leaf}, {normed, residual}));
    });
  }

  void head() {
    const at::Tensor normed = decoder_.final_norm(hidden_);
    const ScoringPlan& plan = batch_.scoring;
    const double ms = both_ways(normed, [&](const at::Tensor& x) {
      return token_log_likelihoods(x, decoder_.head(), plan.pick_output, plan.pick_token);
    });
    add("output head and soft-max, forward and backward", ms,
        4.0 * static_cast<double>(normed.numel()) * static_cast<double>(decoder_.config().vocabulary));
  }

  void adapters() {
    std::vector<DecaySegment> segments;
    for (const AdapterSlot& slot : bank_.layout().slots()) {
      segments.push_back({slot.a_offset, slot.b_offset, 0.0});
      segments.push_back({slot.b_offset, slot.b_offset + slot.b_rows * options_.rank, 0.0});
    }
    StepRates rates;
    rates.learning_rates.assign(static_cast<std::size_t>(options_.members), 1e-4);
    rates.factors = {1.0};
    rates.clip_norm = 1.0;
    AdamW optimiser(bank_.parameters(), OptimiserConfig(), rates, segments);
    const double ms =
        fastest(device_, [&] { static_cast<void>(optimiser.step(bank_.parameters(), bank_.gradients())); });
    // norms read the gradients; AdamW reads four values and writes three
    add_moving("gradient norms and AdamW", ms, 8.0 * static_cast<double>(bank_.gradients().nbytes()), 4.0);
  }

  double whole_step() {
    SoloCommunicator group;
    LastLosses observer;
    Options shared = options_;
    shared.share_batch = true;  // the same examples for all, as in the parts
    TrainerInputs inputs = trainer_inputs(shared, decoder_, batcher_, bank_, group, observer);
    constexpr int kSteps = 12;
    inputs.training.steps = kSteps + 1;
    Trainer trainer(inputs);
    return fastest(
        device_, [&] { trainer.step(); }, kSteps);
  }

  const Options& options_;
  const Decoder& decoder_;
  c10::Device device_;
  Peak peak_;
  ExampleSet set_;
  ExampleBatcher batcher_;
  AdapterBank bank_;
  ExampleBatch batch_;
  PreparedBatch prepared_;
  Recorder recorder_;
  at::Tensor x_, hidden_;
  std::int64_t lowest_ = 0;
  std::vector<Part> parts_;
};

}  // namespace

std::string profile(const Options& options, const Decoder& decoder, const Peak& peak) {
  return Profiler(options, decoder, peak).table();
}

}  // namespace chorale::bench
