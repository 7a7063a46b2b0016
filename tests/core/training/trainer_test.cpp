// The loop: members by themselves, stopping, the cache, and what must stay the same bit for bit.
#include "core/training/trainer.hpp"

#include <cmath>
#include <filesystem>

#include "core/base/errors.hpp"
#include "support/catch.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"
#include "support/tensors.hpp"
#include "support/tiny_run.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

class Recorder : public TrainingObserver {
 public:
  void stepped(const StepReport& report) override { steps.push_back(report); }
  void validated(const ValidationReport& report) override { validations.push_back(report); }
  void noted(const std::string& message, bool warning) override {
    if (warning) warnings.push_back(message);
  }
  std::vector<StepReport> steps;
  std::vector<ValidationReport> validations;
  std::vector<std::string> warnings;
};

at::Tensor trained(const TinyRunOptions& options) {
  TinyRun run(options);
  run.trainer().run();
  return run.bank().parameters().clone();
}

}  // namespace

TEST_CASE("training lowers every member's loss") {
  for (const TinyTask& task : {TinyTask{TaskKind::multiple_choice, Scoring::label_token},
                               TinyTask{TaskKind::multiple_choice, Scoring::option_likelihood},
                               TinyTask{TaskKind::completion, Scoring::label_token}}) {
    Recorder recorder;
    TinyRunOptions options;
    options.task = task;
    options.random_b = false;
    options.training.epochs = 20;
    options.dtype = at::kFloat;
    options.observer = &recorder;
    trained(options);
    REQUIRE(recorder.steps.size() == 60);
    for (std::size_t m = 0; m < 3; ++m) {
      double first = 0.0;
      double last = 0.0;
      for (std::size_t s = 0; s < 3; ++s) {
        first += recorder.steps[s].members[m].loss;
        last += recorder.steps[57 + s].members[m].loss;
      }
      CHECK(last < 0.6 * first);
    }
  }
}

TEST_CASE("a member trained in company equals the same member trained alone") {
  TinyRunOptions options;
  options.adapter.dropout = 0.2;
  options.training.clip_norm = 0.5;
  options.training.learning_rate = {1e-2, 2e-2, 5e-3};
  const at::Tensor together = trained(options);
  for (std::uint32_t member = 0; member < 3; ++member) {
    TinyRunOptions alone = options;
    alone.members = {member};
    CHECK(difference(trained(alone)[0], together[member]) < 1e-10);
  }
}

TEST_CASE("the same run gives the same bits") {
  TinyRunOptions options;
  options.dtype = at::kFloat;
  options.adapter.dropout = 0.1;
  CHECK(same_bits(trained(options), trained(options)));
}

TEST_CASE("the frozen prefix's cache changes no bit") {
  TinyRunOptions options;
  options.dtype = at::kFloat;
  options.examples = 40;  // three chunks
  options.training.epochs = 1;
  options.prefix_budget = 0;
  const at::Tensor without = trained(options);
  TinyRun probe(options);
  const FrozenPrefix whole(probe.decoder(), probe.train(), 1, 1U << 30U);
  REQUIRE(whole.chunks() == 3);
  for (const std::uint64_t budget : {whole.total_bytes() / 2, std::uint64_t{1} << 30U}) {
    options.prefix_budget = budget;
    CHECK(same_bits(trained(options), without));
  }
  // In a file: the same, and nothing is left of it. A file system without room says so before anything starts.
  const ScratchDirectory scratch;
  options.prefix_budget = RowBudget(1U << 30U, RowPlace::file, scratch.path().string());
  CHECK(same_bits(trained(options), without));
  CHECK(std::filesystem::is_empty(scratch.path()));
  options.prefix_budget = RowBudget(1U << 30U, RowPlace::file, scratch.file("missing"));
  CHECK_THROWS_WITH(TinyRun(options), contains("training.prefix_cache"));
}

TEST_CASE("a member that turns non-finite is stopped, reported, and leaves the others' bits alone") {
  TinyRunOptions options;
  options.dtype = at::kFloat;
  options.training.epochs = 3;
  const at::Tensor healthy = trained(options);
  Recorder recorder;
  options.observer = &recorder;
  TinyRun run(options);
  run.trainer().step();
  run.trainer().step();
  run.bank().parameters()[1].fill_(NAN);
  run.trainer().run();
  CHECK(same_bits(run.bank().parameters()[0], healthy[0]));
  CHECK(same_bits(run.bank().parameters()[2], healthy[2]));
  CHECK(run.trainer().states()[1].diverged);
  CHECK(run.trainer().states()[1].stopped_at == 3);
  REQUIRE(recorder.warnings.size() == 1);
  CHECK(recorder.warnings[0].find("member 1 turned non-finite at step 3") != std::string::npos);
}

TEST_CASE("a gradient that overflows is not applied: the member keeps its last finite adapters") {
  TinyRunOptions options;
  options.dtype = at::kFloat;
  options.training.learning_rate = {1e-2, 1e30, 1e-2};
  TinyRun run(options);
  run.trainer().run();
  CHECK(run.bank().parameters()[0].isfinite().all().item<bool>());
  CHECK(run.bank().parameters()[1].isfinite().all().item<bool>());
  CHECK(run.trainer().states()[1].diverged);
  CHECK_FALSE(run.trainer().states()[0].diverged);
}

TEST_CASE("training ends with an error when no member is left") {
  TinyRunOptions options;
  options.dtype = at::kFloat;
  options.training.learning_rate = {1e30};
  TinyRun run(options);
  CHECK_THROWS_AS(run.trainer().run(), DivergedError);
}

TEST_CASE("early stopping stops members by themselves and gives their best adapters back") {
  Recorder recorder;
  TinyRunOptions options;
  options.dtype = at::kFloat;
  options.validation = true;
  options.random_b = false;
  options.training.epochs = 30;
  options.training.learning_rate = {1e-2, 5e-2, 1e-5};
  options.training.early_stopping = EarlyStopping{StoppingMetric::nll, 2};
  options.observer = &recorder;
  TinyRun run(options);
  std::vector<double> best_value(3, std::numeric_limits<double>::infinity());
  std::vector<std::int64_t> best_step(3, -1);
  std::size_t seen = 0;
  run.trainer().run();
  for (const ValidationReport& report : recorder.validations) {
    for (std::size_t m = 0; m < 3; ++m) {
      const MemberState& state = run.trainer().states()[m];
      if (state.stopped_at >= 0 && report.step > state.stopped_at) continue;
      if (report.metrics[m].nll < best_value[m]) {
        best_value[m] = report.metrics[m].nll;
        best_step[m] = report.step;
      }
    }
    ++seen;
  }
  REQUIRE(seen >= 3);
  bool some_stopped_early = false;
  for (std::size_t m = 0; m < 3; ++m) {
    const MemberState& state = run.trainer().states()[m];
    CHECK(state.best_step == best_step[m]);
    CHECK(state.best_value == best_value[m]);
    if (state.stopped_at >= 0) {
      CHECK(state.stopped_at - state.best_step == 2 * 3);  // two validations, three steps an epoch
      some_stopped_early = true;
    }
  }
  CHECK(some_stopped_early);
  // A fresh run of the same members up to the best step has the restored adapters.
  for (std::size_t m = 0; m < 3; ++m) {
    TinyRunOptions again = options;
    again.observer = nullptr;
    TinyRun fresh(again);
    while (fresh.trainer().steps_done() < best_step[m]) fresh.trainer().step();
    CHECK(difference(fresh.bank().parameters()[static_cast<std::int64_t>(m)],
                     run.bank().parameters()[static_cast<std::int64_t>(m)]) < 1e-5);
  }
}

TEST_CASE("clipping bounds each member's own step") {
  // With plain AdamW a scaled gradient gives almost the same step, so the norm in the report and the moments tell.
  Recorder recorder;
  TinyRunOptions options;
  options.training.clip_norm = 1e-3;
  options.observer = &recorder;
  TinyRun run(options);
  run.trainer().step();
  for (const MemberReport& member : recorder.steps[0].members) CHECK(member.gradient_norm > 1e-3);
}

TEST_CASE("decay on B alone shrinks B and leaves A's path alone") {
  TinyRunOptions options;
  options.training.epochs = 10;
  TinyRun plain(options);
  options.training.weight_decay.b = 5.0;
  TinyRun decayed(options);
  plain.trainer().run();
  decayed.trainer().run();
  const at::Tensor b = plain.bank().b_columns();
  const auto norm = [&](TinyRun& run) { return run.bank().parameters().index({0, b}).norm().item<double>(); };
  CHECK(norm(decayed) < 0.8 * norm(plain));
}

TEST_CASE("at step 0 every member is the base") {
  TinyRunOptions options;
  options.random_b = false;
  options.dtype = at::kFloat;
  TinyRun run(options);
  Predictor predictor(run.decoder(), run.train(), run.bank().layout().lowest_layer(), 4, 0);
  const Predictions members = predictor.choices(run.bank(), nullptr);
  Predictor base(run.decoder(), run.train(), 0, 4, 0);
  const Predictions alone = base.base_choices(nullptr);
  for (std::size_t m = 0; m < members.members; ++m) {
    for (std::size_t n = 0; n < members.examples; ++n) {
      for (std::size_t k = 0; k < members.choices; ++k) {
        const auto expected = static_cast<double>(alone.at(0, n, k));
        if (std::isinf(expected)) {
          CHECK(members.at(m, n, k) == alone.at(0, n, k));
        } else {
          CHECK(static_cast<double>(members.at(m, n, k)) == Approx(expected).margin(1e-5));
        }
      }
    }
  }
}
