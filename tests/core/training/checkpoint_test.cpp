// A trained bank through the files of a checkpoint and back.
#include "core/training/checkpoint.hpp"

#include <filesystem>

#include "core/inference/predictor.hpp"
#include "core/storage/checkpoint_directory.hpp"
#include "support/catch.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"
#include "support/tiny_run.hpp"

using namespace chorale;
using test::contains;
using test::input_error_of;
using test::ScratchDirectory;
using test::TinyRun;
using test::TinyRunOptions;

namespace {

const CheckpointLabels kLabels = {"name: tiny\n", R"({"members": 3})", "tiny"};

TinyRunOptions float_run() {
  TinyRunOptions options;
  options.members = {1, 2, 3};
  options.dtype = at::kFloat;
  options.random_b = false;
  return options;
}

std::vector<float> predictions_of(TinyRun& run, const AdapterBank& bank) {
  Predictor predictor(run.decoder(), run.train(), bank.layout().lowest_layer(), 4, 0);
  return predictor.choices(bank, nullptr).log_probabilities;
}

void save_checkpoint(const std::string& checkpoints, const CheckpointLabels& labels, const AdapterBank& bank,
                     Trainer& trainer) {
  const std::int64_t step = trainer.steps_done();
  const std::string unfinished = begin_checkpoint(checkpoints, step);
  GroupCheckpoint(labels, bank, trainer).write(unfinished + "/" + group_file_name(0));
  commit_checkpoint(checkpoints, step, 1);
}

AdapterBank fresh_bank(const TinyRunOptions& options, std::vector<std::uint32_t> members) {
  BankOptions bank;
  bank.members = std::move(members);
  bank.seed = 99;  // another start than the run's
  return {test::tiny_config(), options.adapter, bank};
}

}  // namespace

TEST_CASE("adapters loaded from a checkpoint predict what the run predicted, bit for bit") {
  const ScratchDirectory scratch;
  const TinyRunOptions options = float_run();
  TinyRun run(options);
  const std::vector<float> untrained = predictions_of(run, run.bank());
  run.trainer().run();
  const std::string checkpoints = scratch.file("checkpoints");
  save_checkpoint(checkpoints, kLabels, run.bank(), run.trainer());

  const CheckpointSearch search = find_latest_valid(checkpoints);
  REQUIRE(search.found);
  CHECK(search.problems.empty());
  CHECK(search.found->step == run.trainer().total_steps());
  REQUIRE(search.found->files.size() == 1);
  AdapterBank bank = fresh_bank(options, options.members);
  CHECK(predictions_of(run, bank) != predictions_of(run, run.bank()));
  load_adapters(search.found->files, "tiny", bank);
  CHECK(predictions_of(run, bank) == predictions_of(run, run.bank()));
  CHECK(predictions_of(run, bank) != untrained);

  // One member alone finds its own row.
  AdapterBank second = fresh_bank(options, {2});
  load_adapters(search.found->files, "tiny", second);
  CHECK(second.parameters()[0].equal(run.bank().parameters()[1]));
}

TEST_CASE("what the file holds is what the trainer holds: every factor, both moments, progress") {
  const ScratchDirectory scratch;
  TinyRunOptions options = float_run();
  options.validation = true;
  options.training.epochs = 4;
  options.training.early_stopping = EarlyStopping{StoppingMetric::nll, 1};
  TinyRun run(options);
  run.trainer().run();
  const std::string path = scratch.file("group_000.h5");
  GroupCheckpoint(kLabels, run.bank(), run.trainer()).write(path);
  const CheckpointContent content = read_checkpoint_file(path);
  CHECK(content.header.step == run.trainer().steps_done());
  CHECK(content.header.recipe == kLabels.recipe);
  CHECK(content.header.placement == kLabels.placement);
  CHECK(content.header.scale == 1.5);  // alpha 3 over rank 2
  REQUIRE(content.members.size() == 3);
  const auto equal_row = [](const std::vector<float>& row, const at::Tensor& buffer, std::int64_t m) {
    const at::Tensor expected = buffer[m].contiguous();
    return std::equal(row.begin(), row.end(), expected.const_data_ptr<float>(),
                      expected.const_data_ptr<float>() + expected.numel());
  };
  for (std::int64_t m = 0; m < 3; ++m) {
    const StoredMember& member = content.members[static_cast<std::size_t>(m)];
    const MemberState& state = run.trainer().states()[static_cast<std::size_t>(m)];
    CHECK(member.member == static_cast<std::uint32_t>(m) + 1);
    CHECK(equal_row(member.parameters, run.bank().parameters(), m));
    CHECK(equal_row(member.first_moment, run.trainer().optimiser().first_moment(), m));
    CHECK(equal_row(member.second_moment, run.trainer().optimiser().second_moment(), m));
    CHECK(member.progress.updates == run.trainer().optimiser().counts()[static_cast<std::size_t>(m)]);
    CHECK(member.progress.updates > 0);
    CHECK(member.progress.training == state.training);
    CHECK(member.progress.stopped_at == state.stopped_at);
    CHECK(member.progress.best_step == state.best_step);
    CHECK(member.progress.best_step > 0);
    CHECK(member.progress.best_value == state.best_value);
    CHECK(member.progress.since_best == state.since_best);
    // The place of every factor, by the bank's own views.
    std::size_t offset = 0;
    for (const CheckpointFactor& factor : content.header.factors) {
      const auto& sites = run.bank().layout().sites();
      const auto site = std::find_if(sites.begin(), sites.end(),
                                     [&](const AdapterSite& candidate) { return candidate.module == factor.module; });
      REQUIRE(site != sites.end());
      const at::Tensor view = (factor.factor == 'A' ? run.bank().a(m, *site) : run.bank().b(m, *site)).contiguous();
      REQUIRE(view.size(0) == static_cast<std::int64_t>(factor.rows));
      REQUIRE(view.size(1) == static_cast<std::int64_t>(factor.columns));
      CHECK(std::equal(view.const_data_ptr<float>(), view.const_data_ptr<float>() + view.numel(),
                       member.parameters.begin() + static_cast<std::ptrdiff_t>(offset)));
      offset += static_cast<std::size_t>(view.numel());
    }
    CHECK(offset == member.parameters.size());
  }
}

TEST_CASE("adapters of another base, another shape or another group are refused, the bank left as it was") {
  const ScratchDirectory scratch;
  const TinyRunOptions options = float_run();
  TinyRun run(options);
  run.trainer().step();
  const std::string path = scratch.file("group_000.h5");
  GroupCheckpoint(kLabels, run.bank(), run.trainer()).write(path);
  const std::vector<std::string> files = {path};

  AdapterBank bank = fresh_bank(options, options.members);
  const at::Tensor before = bank.parameters().clone();
  const std::string other_base = input_error_of([&] { load_adapters(files, "another", bank); });
  CHECK_THAT(other_base, contains(path) && contains("another base model"));
  AdapterBank stranger = fresh_bank(options, {1, 7});
  CHECK_THAT(input_error_of([&] { load_adapters(files, "tiny", stranger); }), contains("members 1, 7"));
  CHECK(bank.parameters().equal(before));

  TinyRunOptions wider = options;
  wider.adapter.rank = 3;
  AdapterBank other_rank = fresh_bank(wider, options.members);
  CHECK_THAT(input_error_of([&] { load_adapters(files, "tiny", other_rank); }), contains("another rank"));
  TinyRunOptions louder = options;
  louder.adapter.alpha = 4.0;
  AdapterBank other_scale = fresh_bank(louder, options.members);
  CHECK_THAT(input_error_of([&] { load_adapters(files, "tiny", other_scale); }), contains("another scale"));
}

TEST_CASE("a training restored from any step ends with the bits of one that never stopped") {
  const ScratchDirectory scratch;
  for (const bool early : {false, true}) {
    TinyRunOptions options = float_run();
    options.validation = true;
    options.adapter.dropout = 0.1;
    options.training.epochs = 4;
    options.training.log_every = 4;
    options.training.schedule = {ScheduleKind::linear, 0.2};
    options.training.learning_rate = {1e-2, 8e-2, 1e-3, 3e-2};
    options.training.clip_norm = 0.7;
    if (early) options.training.early_stopping = EarlyStopping{StoppingMetric::nll, 2};
    struct Recorder : TrainingObserver {
      void logged(const IntervalReport& report) override { intervals.push_back(report); }
      std::vector<IntervalReport> intervals;
    };
    // Saves itself before every step.
    struct Saver : TrainingControl {
      bool go_on(std::int64_t step, bool trains) override {
        run->trainer().interval().collect();
        save_checkpoint(scratch + std::to_string(step), kLabels, run->bank(), run->trainer());
        return trains;
      }
      TinyRun* run = nullptr;
      std::string scratch;
    };
    Recorder whole;
    options.observer = &whole;
    TinyRun straight(options);
    Saver saver;
    saver.run = &straight;
    saver.scratch = scratch.file(early ? "early" : "plain");
    straight.trainer().run(saver);
    const std::string last = saver.scratch + "last";
    save_checkpoint(last, kLabels, straight.bank(), straight.trainer());
    const std::int64_t steps = straight.trainer().steps_done();
    for (std::int64_t from = 0; from <= steps; ++from) {
      Recorder rest;
      options.observer = &rest;
      TinyRun resumed(options);
      const auto found = find_latest_valid(from == steps ? last : saver.scratch + std::to_string(from)).found;
      REQUIRE(found);
      restore_training(found->files, "tiny", resumed.bank(), resumed.trainer());
      CHECK(resumed.trainer().steps_done() == from);
      resumed.trainer().run();
      Trainer& expected = straight.trainer();
      CHECK(resumed.trainer().steps_done() == steps);
      CHECK(resumed.bank().parameters().equal(straight.bank().parameters()));
      CHECK(resumed.trainer().optimiser().first_moment().equal(expected.optimiser().first_moment()));
      CHECK(resumed.trainer().optimiser().second_moment().equal(expected.optimiser().second_moment()));
      for (std::size_t m = 0; m < 3; ++m) {
        CHECK(resumed.trainer().states()[m].stopped_at == expected.states()[m].stopped_at);
        CHECK(resumed.trainer().states()[m].best_value == expected.states()[m].best_value);
      }
      // What is left of the log is the end of the whole one, to the last bit.
      REQUIRE(rest.intervals.size() <= whole.intervals.size());
      const std::size_t skipped = whole.intervals.size() - rest.intervals.size();
      for (std::size_t i = 0; i < rest.intervals.size(); ++i) {
        const IntervalReport& got = rest.intervals[i];
        const IntervalReport& wanted = whole.intervals[skipped + i];
        CHECK(got.step == wanted.step);
        REQUIRE(got.members.size() == wanted.members.size());
        for (std::size_t m = 0; m < got.members.size(); ++m) {
          CHECK(got.members[m].loss == wanted.members[m].loss);
          CHECK(got.members[m].gradient_norm == wanted.members[m].gradient_norm);
          CHECK(got.members[m].learning_rate == wanted.members[m].learning_rate);
          CHECK(got.members[m].tokens == wanted.members[m].tokens);
          CHECK(got.members[m].interval_tokens == wanted.members[m].interval_tokens);
        }
      }
    }
  }
}
