// Passes that are recorded and repeated: they train as passes issued anew do, whatever the batches' contents.
#include "core/training/gradient_pass.hpp"

#include <optional>

#include "core/kernels/dropout.hpp"
#include "support/catch.hpp"
#include "support/device_step_cases.hpp"
#include "support/emulated_kernels.hpp"
#include "support/tensors.hpp"
#include "support/tiny_objectives.hpp"
#include "support/tiny_run.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

struct Result {
  at::Tensor parameters;
  std::vector<double> losses;
  std::size_t recordings = 0;
};

Result trained(TinyRunOptions options, bool record) {
  KeptLosses losses;
  options.record_passes = record;
  options.observer = &losses;
  TinyRun run(options);
  run.trainer().run();
  return {run.bank().parameters().clone(), losses.values, run.trainer().recordings()};
}

PassInputs inputs_of(TinyRun& run, const std::vector<std::vector<std::size_t>>& examples,
                     std::int64_t row_multiple = 64) {
  const ExampleBatch batch =
      run.train().build(examples, {.row_multiple = row_multiple, .equal_streams = true, .output_multiple = 32});
  return {run.decoder().embed(batch.packed.tokens),
          run.decoder().prepare(batch.packed),
          batch.scoring,
          at::full({static_cast<std::int64_t>(examples.size())}, 2.0, at::kDouble),
          7,
          at::full({1}, 7, at::kLong)};
}

// The passes of these steps, each of another batch of one shape, and the gradients they add to nothing.
std::vector<at::Tensor> gradients_of(TinyRun& run, bool record, Recompute recompute, std::int64_t steps) {
  const Objective objective(run.decoder(), run.train(), std::nullopt, at::Tensor());
  GradientPass pass(run.decoder(), run.bank(), objective, 0, record, recompute);
  std::vector<at::Tensor> all;
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto first = static_cast<std::size_t>(step % 2);
    PassInputs inputs = inputs_of(run, {{first, first + 1}, {first + 2, first + 3}}, 32);
    inputs.step = step;
    inputs.device_step = at::full({1}, step, at::kLong);
    pass.reset();
    pass.run(inputs);
    all.push_back(run.bank().gradients().clone());
  }
  CHECK(pass.recordings() == (record ? 1 : 0));
  return all;
}

}  // namespace

TEST_CASE("recorded passes train as passes issued anew") {
  for (const ObjectiveCase& c : kObjectives) {
    INFO(c.name);
    TinyRunOptions options;
    options.task = c.task;
    options.training.kl_to_base = c.kl;
    options.training.epochs = 6;
    for (const std::int64_t micro : {0, 2}) {
      options.training.micro_batch_size = micro;
      const Result plain = trained(options, false);
      const Result recorded = trained(options, true);
      CHECK(plain.recordings == 0);
      CHECK(recorded.recordings > 0);
      CHECK(recorded.recordings <= 8);  // so that most of the 18 steps were repeated
      CHECK(difference(recorded.parameters, plain.parameters) < 1e-11);
      REQUIRE(recorded.losses.size() == plain.losses.size());
      for (std::size_t i = 0; i < plain.losses.size(); ++i) {
        CHECK(recorded.losses[i] == Approx(plain.losses[i]).epsilon(1e-11));
      }
    }
  }
}

TEST_CASE("a recorded run stops members early as a plain one does") {
  TinyRunOptions options;
  options.validation = true;
  options.training.epochs = 12;
  options.training.learning_rate = {5e-2};
  options.training.early_stopping = EarlyStopping{StoppingMetric::nll, 1};
  const Result plain = trained(options, false);
  const Result recorded = trained(options, true);
  CHECK(difference(recorded.parameters, plain.parameters) < 1e-10);
  CHECK(recorded.losses.size() == plain.losses.size());
}

TEST_CASE("inputs that take other inputs keep their memory and get their contents") {
  for (const ObjectiveCase& c : kObjectives) {
    INFO(c.name);
    TinyRunOptions options;
    options.task = c.task;
    TinyRun run(options);
    PassInputs mine = inputs_of(run, {{0, 1}, {2, 3}});
    const PassInputs other = inputs_of(run, {{6, 7}, {8, 5}});
    REQUIRE(mine.shape() == other.shape());
    std::vector<void*> before;
    for (const at::Tensor& tensor : mine.tensors()) before.push_back(tensor.data_ptr());
    mine.take(other);
    const std::vector<at::Tensor> own = mine.tensors();
    const std::vector<at::Tensor> theirs = other.tensors();
    REQUIRE(own.size() == theirs.size());
    for (std::size_t i = 0; i < own.size(); ++i) {
      CHECK(own[i].data_ptr() == before[i]);
      CHECK(own[i].equal(theirs[i]));
    }
    CHECK(mine.prepared.rows.row_keys == other.prepared.rows.row_keys);
  }
}

TEST_CASE("passes of another shape are told apart") {
  TinyRunOptions options;
  TinyRun run(options);
  const PassInputs base = inputs_of(run, {{0, 1}, {2, 3}});
  CHECK(base.shape() != inputs_of(run, {{0, 1, 4}, {2, 3}}).shape());  // more examples
  CHECK(base.shape() != inputs_of(run, {{}, {2, 3}}).shape());         // a member without rows
  CHECK(base.shape() != inputs_of(run, {{2, 3}, {}}).shape());
  CHECK(inputs_of(run, {{}, {2, 3}}).shape() != inputs_of(run, {{2, 3}, {}}).shape());
}

TEST_CASE("recorded passes by the device's kernels see the batch at hand") {
  const EmulatedKernels on;
  for (const TinyTask& task : kDeviceTasks) {
    TinyRunOptions options;
    options.task = task;
    options.dtype = at::kBFloat16;
    TinyRun plain(options);
    options.record_passes = true;
    TinyRun recorded(options);
    for (std::int64_t step = 0; step < 9; ++step) {
      const auto expected = plain.trainer().compute_gradients(step);
      const auto result = recorded.trainer().compute_gradients(step);
      const double size = plain.bank().gradients().abs().max().item<double>();
      CHECK(difference(recorded.bank().gradients(), plain.bank().gradients()) < 0.02 * size);
      for (std::size_t m = 0; m < result.loss.size(); ++m)
        CHECK(result.loss[m] == Approx(expected.loss[m]).epsilon(0.01));
    }
    CHECK(recorded.trainer().recordings() > 0);
    CHECK(recorded.trainer().recordings() <= 6);  // of 9 steps
  }
}

TEST_CASE("recorded passes with dropout draw the masks of their step and rows") {
  for (const bool emulated : {false, true}) {
    std::optional<EmulatedKernels> kernels;
    if (emulated) kernels.emplace();
    for (const Recompute recompute : {Recompute::none, Recompute::full}) {
      if (emulated && recompute == Recompute::full) continue;  // slow, and nothing else is drawn
      TinyRunOptions options;
      options.members = {0, 1};
      options.adapter.dropout = 0.3;
      options.dtype = emulated ? at::kBFloat16 : at::kDouble;
      options.common = 0;
      TinyRun run(options);
      const std::vector<at::Tensor> plain = gradients_of(run, false, recompute, 3);
      const std::vector<at::Tensor> recorded = gradients_of(run, true, recompute, 3);
      for (std::size_t step = 0; step < plain.size(); ++step) CHECK(same_bits(recorded[step], plain[step]));
      // Steps 0 and 2 have the same examples and other masks.
      CHECK_FALSE(same_bits(plain[0], plain[2]));
    }
  }
}

TEST_CASE("a whole training with dropout is the same recorded and issued anew") {
  for (const ObjectiveCase& c : kObjectives) {
    INFO(c.name);
    TinyRunOptions options;
    options.task = c.task;
    options.training.kl_to_base = c.kl;
    options.training.epochs = 4;
    options.adapter.dropout = 0.2;
    const Result plain = trained(options, false);
    const Result recorded = trained(options, true);
    CHECK(recorded.recordings > 0);
    CHECK(difference(recorded.parameters, plain.parameters) < 1e-11);
  }
}

TEST_CASE("masks drawn by a device follow the step and the row keys in its memory alone") {
  const at::Tensor x = random_tensor({6, 40}, 5, at::kBFloat16);
  const std::vector<std::int64_t> offsets = {0, 2, 6};
  const std::vector<std::uint64_t> keys = {1, 2, 3, 4, 5, 6};
  DropoutKey host;
  host.seed = 9;
  host.step = 12;
  host.site = 3;
  host.members = {0, 4};
  const at::Tensor expected = dropout_mask(x, offsets, keys, host, 0.4);
  const EmulatedKernels on;
  REQUIRE(draws_masks_on(at::kCPU, at::kBFloat16, 2));
  CHECK_FALSE(draws_masks_on(at::kCPU, at::kDouble, 2));
  CHECK_FALSE(draws_masks_on(at::kCPU, at::kBFloat16, 1000));
  DropoutKey there = host;
  there.step = 0;
  there.device_step = at::full({1}, 12, at::kLong);
  there.device_row_keys = at::arange(1, 7, at::kLong);
  CHECK(same_bits(dropout_mask(x, offsets, std::vector<std::uint64_t>(6, 0), there, 0.4), expected));
  there.device_step.fill_(13);
  CHECK_FALSE(same_bits(dropout_mask(x, offsets, keys, there, 0.4), expected));
}

TEST_CASE("gradients written where they belong are those that autograd hands back") {
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    for (const double dropout : {0.0, 0.3}) {
      for (const Recompute recompute : {Recompute::none, Recompute::light, Recompute::full}) {
        TinyRunOptions options;
        options.adapter.dropout = dropout;
        options.dtype = type;
        options.common = 0;
        TinyRun run(options);
        const Objective objective(run.decoder(), run.train(), std::nullopt, at::Tensor());
        const std::int64_t layers = run.decoder().config().layers;
        GradientPass pass(run.decoder(), run.bank(), objective, 0, /*record=*/false, recompute);
        run.bank().gradients().fill_(NAN);  // of an older step
        pass.reset();
        at::Tensor expected = at::zeros_like(run.bank().gradients());
        // The second pass adds to the first; in both some members have nothing.
        for (const auto& examples : {std::vector<std::vector<std::size_t>>{{0, 1}, {}, {2}},
                                     std::vector<std::vector<std::size_t>>{{3}, {4, 5}, {}}}) {
          const PassInputs inputs = inputs_of(run, examples);
          pass.run(inputs);
          const at::Tensor leaf = run.bank().parameters().detach().clone().requires_grad_(true);
          const auto hook = run.bank().hook(leaf, true, static_cast<std::uint64_t>(inputs.step), inputs.device_step);
          const at::Tensor hidden =
              run.decoder().run_layers(inputs.x, inputs.prepared, 0, layers, hook.get(), recompute);
          const MemberLosses losses = objective.losses(hidden, at::Tensor(), inputs.scoring, inputs.normalisers);
          expected += torch::autograd::grad({losses.total.sum()}, {leaf})[0];
        }
        INFO("dropout " << dropout << ", recompute " << static_cast<int>(recompute));
        CHECK(difference(run.bank().gradients(), expected) < (type == at::kDouble ? 1e-14 : 1e-6));
        CHECK(expected.abs().max().item<double>() > 1e-2);
      }
    }
  }
}
