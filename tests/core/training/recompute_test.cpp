// training.recompute: the same bits of every gradient, for less memory.
#include <algorithm>

#include "core/training/memory_estimate.hpp"
#include "support/catch.hpp"
#include "support/counting_allocator.hpp"
#include "support/tensors.hpp"
#include "support/tiny_run.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

at::Tensor gradients_of(TinyRunOptions options, Recompute recompute) {
  options.training.recompute = recompute;
  TinyRun run(options);
  run.trainer().compute_gradients(3);
  return run.bank().gradients().clone();
}

void check_same_bits(const TinyRunOptions& options) {
  const at::Tensor kept = gradients_of(options, Recompute::none);
  CHECK(kept.abs().max().item<double>() > 1e-3);
  CHECK(same_bits(gradients_of(options, Recompute::light), kept));
  CHECK(same_bits(gradients_of(options, Recompute::full), kept));
}

// A decoder whose activations are many times its weights' gradients, and what a step over it allocates.
struct MemoryRun {
  ModelConfig config = [] {
    ModelConfig large = tiny_config();
    large.layers = 8;
    large.hidden = 96;
    large.feed_forward = 256;
    return large;
  }();
  TinyBase base{config};
  Decoder decoder{base, {at::kFloat, at::kCPU}};
  AdapterConfig adapter;
  PackedBatch batch;

  MemoryRun() {
    adapter.rank = 2;
    adapter.targets = kAdapterTargets;
    const std::vector<std::int32_t> tokens(256, 5);
    for (int stream = 0; stream < 2; ++stream) {
      const std::int64_t first = batch.rows();
      batch.add_span(tokens.data(), tokens.data() + tokens.size(), -1, 0);
      for (std::int64_t row = first; row < batch.rows(); ++row) batch.add_output(row);
      batch.end_stream();
    }
  }

  struct Bytes {
    std::int64_t kept;  // after the forward pass
    std::int64_t peak;  // of both passes
    std::uint64_t estimated;
  };

  [[nodiscard]] Bytes measure(Recompute recompute) const {
    const AdapterBank bank(config, adapter, {{0, 1}});
    const PreparedBatch prepared = decoder.prepare(batch);
    const at::Tensor x = decoder.embed(batch.tokens);
    const at::Tensor upstream = random_tensor({batch.rows(), config.hidden}, 5, at::kFloat);
    const at::Tensor leaf = bank.parameters().detach().requires_grad_(true);
    const auto hook = bank.hook(leaf, /*training=*/true, 0);
    // Once before: the frozen weights' second layout is made at the first gradient and stays.
    torch::autograd::grad({decoder.run_layers(x, prepared, 0, config.layers, hook.get(), recompute)}, {leaf},
                          {upstream});
    const CountingAllocator counting;
    Bytes bytes{};
    const at::Tensor hidden = decoder.run_layers(x, prepared, 0, config.layers, hook.get(), recompute);
    bytes.kept = counting.now();
    torch::autograd::grad({hidden}, {leaf}, {upstream});
    bytes.peak = counting.peak();
    bytes.estimated = static_cast<std::uint64_t>(batch.rows()) *
                      activation_bytes_per_row(config, bank.layout(), sizeof(float), recompute);
    return bytes;
  }
};

}  // namespace

TEST_CASE("every recompute gives the same bits of the gradients, for every task and type") {
  for (const TinyTask& task : {TinyTask{TaskKind::multiple_choice, Scoring::label_token},
                               TinyTask{TaskKind::multiple_choice, Scoring::option_likelihood},
                               TinyTask{TaskKind::completion, Scoring::label_token}}) {
    for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
      TinyRunOptions options;
      options.task = task;
      options.dtype = type;
      check_same_bits(options);
      options.adapter.dropout = 0.3;
      options.training.micro_batch_size = 3;
      options.adapter.layers = {};
      check_same_bits(options);
    }
  }
}

TEST_CASE("recompute holds in bfloat16, over compact bases, with few targets and with layers left out") {
  TinyRunOptions options;
  options.adapter.dropout = 0.3;
  options.dtype = at::kBFloat16;
  check_same_bits(options);
  options.dtype = at::kFloat;
  for (const LinearFormat format : {LinearFormat::nf4, LinearFormat::float8}) {
    options.linears = format;
    check_same_bits(options);
  }
  options.linears = LinearFormat::plain;
  for (const std::vector<std::string>& targets :
       {std::vector<std::string>{"q_proj", "v_proj"}, std::vector<std::string>{"down_proj"}}) {
    options.adapter.targets = targets;
    options.adapter.layers = {0, 2};  // layer 1 has no adapter, and its input a gradient
    check_same_bits(options);
    options.adapter.layers = {2};
    check_same_bits(options);
  }
}

TEST_CASE("recompute keeps a KL regulariser's gradient, bit for bit") {
  TinyRunOptions options;
  options.task = {TaskKind::completion, Scoring::label_token};
  options.training.kl_to_base = KlToBase{0.7, KlDirection::member_to_base};
  check_same_bits(options);
}

TEST_CASE("light recompute keeps less, full recompute far less, and the estimate knows how much") {
  const MemoryRun run;
  const MemoryRun::Bytes none = run.measure(Recompute::none);
  const MemoryRun::Bytes light = run.measure(Recompute::light);
  const MemoryRun::Bytes full = run.measure(Recompute::full);
  INFO("kept " << none.kept << ", " << light.kept << ", " << full.kept << "; peak " << none.peak << ", " << light.peak
               << ", " << full.peak << "; estimated " << none.estimated << ", " << light.estimated << ", "
               << full.estimated);
  const std::int64_t rows = run.batch.rows();
  const std::int64_t layers = run.config.layers;
  // What the norms and the activation give: two hidden-sized and one feed-forward-sized number a row and layer. The
  // last layer's queries are made from a selection of rows that is kept instead of another.
  const std::int64_t made_again = (2 * run.config.hidden + run.config.feed_forward) * 4;
  CHECK(none.kept - light.kept > rows * (layers - 1) * made_again * 95 / 100);
  CHECK(light.peak < none.peak - rows * (layers - 1) * made_again * 90 / 100);
  CHECK(full.kept < none.kept / 3);
  CHECK(full.peak < none.peak / 2);
  // A step's peak is the estimate, give or take what is freed late and what passes by.
  for (const MemoryRun::Bytes& bytes : {none, light, full}) {
    CHECK(static_cast<double>(bytes.peak) / static_cast<double>(bytes.estimated) == Approx(1.0).margin(0.1));
  }
}
