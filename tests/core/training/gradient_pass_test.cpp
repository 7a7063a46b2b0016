// Passes that are recorded and repeated: they train as passes issued anew do, whatever the batches' contents.
#include "core/training/gradient_pass.hpp"

#include "support/catch.hpp"
#include "support/emulated_kernels.hpp"
#include "support/tensors.hpp"
#include "support/tiny_objectives.hpp"
#include "support/tiny_run.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

class Losses : public TrainingObserver {
 public:
  void stepped(const StepReport& report) override {
    for (const MemberReport& member : report.members) values.push_back(member.loss + member.divergence);
  }
  std::vector<double> values;
};

struct Result {
  at::Tensor parameters;
  std::vector<double> losses;
  std::size_t recordings = 0;
};

Result trained(TinyRunOptions options, bool record) {
  Losses losses;
  options.record_passes = record;
  options.observer = &losses;
  TinyRun run(options);
  run.trainer().run();
  return {run.bank().parameters().clone(), losses.values, run.trainer().recordings()};
}

PassInputs inputs_of(TinyRun& run, const std::vector<std::vector<std::size_t>>& examples) {
  const ExampleBatch batch =
      run.train().build(examples, {.row_multiple = 64, .equal_streams = true, .output_multiple = 32});
  return {run.decoder().embed(batch.packed.tokens), run.decoder().prepare(batch.packed), batch.scoring,
          at::full({static_cast<std::int64_t>(examples.size())}, 2.0, at::kDouble)};
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
  for (const TinyTask& task : {TinyTask{TaskKind::multiple_choice, Scoring::label_token},
                               TinyTask{TaskKind::multiple_choice, Scoring::option_likelihood},
                               TinyTask{TaskKind::completion, Scoring::label_token}}) {
    TinyRunOptions options;
    options.task = task;
    options.dtype = at::kBFloat16;
    TinyRun plain(options);
    options.record_passes = true;
    TinyRun recorded(options);
    for (std::int64_t step = 0; step < 12; ++step) {
      const auto expected = plain.trainer().compute_gradients(step);
      const auto result = recorded.trainer().compute_gradients(step);
      const double size = plain.bank().gradients().abs().max().item<double>();
      CHECK(difference(recorded.bank().gradients(), plain.bank().gradients()) < 0.02 * size);
      for (std::size_t m = 0; m < result.loss.size(); ++m)
        CHECK(result.loss[m] == Approx(expected.loss[m]).epsilon(0.01));
    }
    CHECK(recorded.trainer().recordings() > 0);
    CHECK(recorded.trainer().recordings() <= 6);  // of 12 steps
  }
}
