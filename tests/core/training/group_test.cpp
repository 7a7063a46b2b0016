// A group of ranks does the work of one: the same gradients, the same decisions, one exchange per step.
#include <cmath>
#include <mutex>

#include "core/base/errors.hpp"
#include "core/training/trainer.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"
#include "support/thread_group.hpp"
#include "support/tiny_run.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

class Recorder : public TrainingObserver {
 public:
  void logged(const IntervalReport& report) override { intervals.push_back(report); }
  void validated(const ValidationReport& report) override { validations.push_back(report); }
  std::vector<IntervalReport> intervals;
  std::vector<ValidationReport> validations;
};

// What one rank ends with.
struct Outcome {
  at::Tensor parameters;
  std::vector<MemberState> states;
  std::vector<IntervalReport> intervals;
  std::vector<ValidationReport> validations;
  std::uint64_t reduced_bytes = 0;
  std::int64_t steps = 0;
};

std::vector<Outcome> train_on(std::int64_t ranks, const TinyRunOptions& options) {
  std::vector<Outcome> outcomes(static_cast<std::size_t>(ranks));
  ThreadGroup::run(ranks, [&](Communicator& group) {
    Recorder recorder;
    TinyRunOptions own = options;
    own.group = &group;
    own.observer = &recorder;
    TinyRun run(own);
    run.trainer().run();
    outcomes[static_cast<std::size_t>(group.rank())] = {
        run.bank().parameters().clone(), run.trainer().states(),    recorder.intervals, recorder.validations,
        group.reduced_bytes(),           run.trainer().steps_done()};
  });
  return outcomes;
}

TinyRunOptions options_of(const TinyTask& task) {
  TinyRunOptions options;
  options.task = task;
  options.training.batch_size = 5;
  options.training.log_every = 2;
  options.validation = true;
  options.adapter.dropout = 0.2;
  options.examples = 23;  // two chunks of the frozen prefix, and a last batch of three
  return options;
}

}  // namespace

TEST_CASE("gradients of a step are those of one rank, whatever the number of ranks") {
  for (const TinyTask& task : {TinyTask{TaskKind::multiple_choice, Scoring::label_token},
                               TinyTask{TaskKind::multiple_choice, Scoring::option_likelihood},
                               TinyTask{TaskKind::completion, Scoring::label_token}}) {
    for (const std::uint64_t budget : {std::uint64_t{0}, std::uint64_t{1} << 20U}) {
      TinyRunOptions options = options_of(task);
      options.prefix_budget = budget;
      TinyRun alone(options);
      for (const std::int64_t step : {0, 4}) {  // step 4: the last, smaller batch of the epoch
        alone.trainer().compute_gradients(step);
        const at::Tensor expected = alone.bank().gradients();
        for (std::int64_t ranks = 1; ranks <= 5; ++ranks) {
          std::mutex mutex;
          std::vector<at::Tensor> gradients;
          ThreadGroup::run(ranks, [&](Communicator& group) {
            TinyRunOptions own = options;
            own.group = &group;
            TinyRun run(own);
            run.trainer().compute_gradients(step);
            const std::lock_guard lock(mutex);
            gradients.push_back(run.bank().gradients().clone());
          });
          for (const at::Tensor& gradient : gradients) {
            CHECK(same_bits(gradient, gradients.front()));
            CHECK((gradient - expected).norm().item<double>() < 1e-12 * expected.norm().item<double>());
          }
        }
      }
    }
  }
}

TEST_CASE("a whole training on several ranks ends as on one, logs the same and decides the same") {
  struct Case {
    TinyTask task;
    bool regularised;  // the base's predictions are stored in float32, so their rounding shows
    double tolerance;
  };
  for (const Case& tried : {Case{{TaskKind::multiple_choice, Scoring::label_token}, false, 1e-9},
                            Case{{TaskKind::multiple_choice, Scoring::option_likelihood}, true, 1e-4},
                            Case{{TaskKind::completion, Scoring::label_token}, true, 1e-9}}) {
    TinyRunOptions options = options_of(tried.task);
    if (tried.regularised) options.training.kl_to_base = KlToBase{0.1, KlDirection::member_to_base};
    options.training.early_stopping = EarlyStopping{StoppingMetric::nll, 1};
    options.training.learning_rate = {1e-2, 5e-2, 1e-3};
    options.training.epochs = 4;
    const Outcome one = train_on(1, options).front();
    for (const std::int64_t ranks : {2, 3, 5}) {
      const std::vector<Outcome> outcomes = train_on(ranks, options);
      const Outcome& first = outcomes.front();
      for (const Outcome& outcome : outcomes) {
        CHECK(same_bits(outcome.parameters, first.parameters));
        CHECK(outcome.steps == one.steps);
        // One all-reduce of the group's adapter parameters per step and nothing else.
        CHECK(outcome.reduced_bytes == static_cast<std::uint64_t>(one.steps) * one.parameters.nbytes());
        for (std::size_t m = 0; m < 3; ++m) {
          CHECK(outcome.states[m].stopped_at == one.states[m].stopped_at);
          CHECK(outcome.states[m].best_step == one.states[m].best_step);
        }
        REQUIRE(outcome.validations.size() == one.validations.size());
        REQUIRE(outcome.intervals.size() == one.intervals.size());
      }
      CHECK(difference(first.parameters, one.parameters) < tried.tolerance);
      for (std::size_t i = 0; i < one.intervals.size(); ++i) {
        REQUIRE(first.intervals[i].members.size() == one.intervals[i].members.size());
        for (std::size_t m = 0; m < one.intervals[i].members.size(); ++m) {
          const MemberInterval& got = first.intervals[i].members[m];
          const MemberInterval& expected = one.intervals[i].members[m];
          CHECK(got.member == expected.member);
          CHECK(got.tokens == expected.tokens);
          CHECK(got.loss == Approx(expected.loss).epsilon(tried.tolerance));
          CHECK(got.divergence == Approx(expected.divergence).epsilon(tried.tolerance).margin(1e-12));
          CHECK(got.gradient_norm == Approx(expected.gradient_norm).epsilon(tried.tolerance));
        }
      }
      for (std::size_t i = 0; i < one.validations.size(); ++i) {
        for (std::size_t m = 0; m < 3; ++m) {
          CHECK(first.validations[i].metrics[m].nll == Approx(one.validations[i].metrics[m].nll).epsilon(1e-6));
        }
      }
    }
  }
}

TEST_CASE("a member that diverges on one rank's examples is stopped on all, and the others keep their bits") {
  TinyRunOptions options = options_of({TaskKind::multiple_choice, Scoring::label_token});
  options.validation = false;
  options.dtype = at::kFloat;
  const std::vector<Outcome> healthy = train_on(2, options);
  options.training.learning_rate = {1e-2, 1e30, 1e-2};
  const std::vector<Outcome> outcomes = train_on(2, options);
  for (const Outcome& outcome : outcomes) {
    CHECK(outcome.states[1].diverged);
    CHECK(outcome.states[1].stopped_at == outcomes.front().states[1].stopped_at);
    CHECK(same_bits(outcome.parameters[0], healthy.front().parameters[0]));
    CHECK(same_bits(outcome.parameters[2], healthy.front().parameters[2]));
  }
}

TEST_CASE("a batch smaller than its group is refused on every rank") {
  TinyRunOptions options = options_of({TaskKind::multiple_choice, Scoring::label_token});
  options.training.batch_size = 2;
  CHECK_THROWS_AS(train_on(3, options), UsageError);
}

TEST_CASE("ranks of a group with other adapters are found at the start") {
  std::mutex mutex;
  std::vector<std::string> messages;
  ThreadGroup::run(3, [&](Communicator& group) {
    TinyRunOptions own = options_of({TaskKind::multiple_choice, Scoring::label_token});
    own.group = &group;
    if (group.rank() == 2) own.members = {0, 1, 3};
    try {
      TinyRun run(own);
    } catch (const UsageError& error) {
      const std::lock_guard lock(mutex);
      messages.emplace_back(error.what());
    }
  });
  REQUIRE(messages.size() == 3);
  for (const std::string& message : messages) CHECK(message.find("rank 2 of a group has other adapters") == 0);
}
