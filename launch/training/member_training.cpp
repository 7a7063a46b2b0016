#include "launch/training/member_training.hpp"

#include <spdlog/spdlog.h>

#include "core/base/errors.hpp"
#include "core/base/interruption.hpp"
#include "core/training/memory_estimate.hpp"
#include "launch/training/memory_check.hpp"
#include "launch/training/run_control.hpp"

namespace chorale {
namespace {

// A budget that the device has no room for is kept beside it: in host memory as long as that takes half of it, else in
// a file where the run is.
RowBudget prefix_rows(const Recipe& recipe, std::uint64_t memory, c10::Device device, const World& world) {
  RowBudget budget(prefix_budget(recipe.training, memory), RowPlace::device, recipe.output_directory);
  const std::uint64_t host = physical_memory() / static_cast<std::uint64_t>(world.node_size());
  const bool fits_device = budget.bytes <= (device.is_cuda() ? memory / 4 : memory / 2);
  if (memory > 0 && !fits_device) budget.place = budget.bytes <= host / 2 ? RowPlace::host : RowPlace::file;
  return budget;
}

// What is in a rank's memory besides activations.
std::uint64_t taken_bytes(const TrainingParts& parts, const AdapterBank& bank, const RowBudget& prefix) {
  const Recipe& recipe = parts.recipe;
  const std::uint64_t base = training_base_bytes(parts.decoder.config(), recipe.base.dtype,
                                                 parts.inputs.decoder.device.is_cuda(), bank.layout().lowest_layer());
  const bool early_stopping = recipe.training.early_stopping.has_value();
  const std::uint64_t kept = prefix.place == RowPlace::device && bank.layout().lowest_layer() > 0 ? prefix.bytes : 0;
  return base + adapter_bytes(bank.member_count() * bank.layout().parameters(), early_stopping) + kept;
}

TrainerInputs trainer_inputs(const TrainingParts& parts, const AdapterBank& bank) {
  const Recipe& recipe = parts.recipe;
  const RunWorld& run = parts.run;
  const c10::Device device = parts.inputs.decoder.device;
  TrainerInputs inputs;
  inputs.training = recipe.training;
  inputs.evaluation = recipe.evaluation;
  inputs.vary_data_order = recipe.ensemble.vary_data_order;
  inputs.seed = recipe.seed;
  // Machines may differ; ranks must not.
  const std::uint64_t memory = run.smallest(memory_place(device, run.world()).share());
  inputs.prefix_budget = prefix_rows(recipe, memory, device, run.world());
  inputs.activation_budget =
      activation_budget(memory, device.is_cuda(), taken_bytes(parts, bank, inputs.prefix_budget));
  inputs.record_passes = device.is_cuda();  // elsewhere a recording is only its twin
  inputs.group = &run.group();
  return inputs;
}

// The trainer is made by all ranks of a group together, part of it over the whole training set. When one is asked to
// stop meanwhile, so are all of its group, and here all others.
void make_trainer(const TrainerInputs& inputs, std::optional<Trainer>& trainer, World& world) {
  std::string stopped;
  try {
    trainer.emplace(inputs);
  } catch (const Preempted& request) {
    stopped = request.what();
  }
  world.together([&] {
    if (!stopped.empty()) throw Preempted(stopped);
  });
}

// Bytes that each rank gave into sums over its group per step, by rank, on rank 0: what went over the network.
nlohmann::json reduced_per_step(const RunWorld& run, std::uint64_t before, std::int64_t steps) {
  const bool alone = run.group().size() == 1 || steps == 0;
  const std::uint64_t bytes = alone ? 0 : (run.group().reduced_bytes() - before) / static_cast<std::uint64_t>(steps);
  return run.gather(nlohmann::json::array({bytes}));
}

// Where each rank is, and how long it has been in sums over its group, by rank, on rank 0.
nlohmann::json times_of_ranks(const RunWorld& run) {
  return run.gather(nlohmann::json::array({{{"rank", run.world().rank()},
                                            {"host", run.world().host()},
                                            {"summing_seconds", run.group().summing_seconds()}}}));
}

ExampleBatcher batcher(const TrainingParts& parts, const ExampleSet& set) {
  return {set, parts.recipe.task.kind, parts.recipe.task.scoring, parts.inputs.decoder.device,
          parts.decoder.residual_dtype()};
}

}  // namespace

AdapterBank make_bank(const Recipe& recipe, const RunInputs& inputs, const RunWorld& run) {
  BankOptions options;
  options.members = run.members();
  options.seed = recipe.seed;
  options.vary_initialisation = recipe.ensemble.vary_initialisation;
  options.device = inputs.decoder.device;
  return {inputs.base->config(), recipe.adapter, options};
}

double begin_together(const std::optional<RunFiles>& files, const Recipe& recipe, std::int64_t step, World& world) {
  double seconds = 0.0;
  world.on_root([&] { seconds = files->begin(recipe, step); });
  return nlohmann::json::parse(world.broadcast(nlohmann::json(seconds).dump())).get<double>();
}

MemberTraining::MemberTraining(const TrainingParts& parts, AdapterBank& bank, const ResumePoint& from,
                               double seconds_before)
    : parts_(parts), bank_(bank), train_(batcher(parts, parts.inputs.sets.train)) {
  const Recipe& recipe = parts.recipe;
  parts.run.world().together([&] { log_.emplace(parts.run, recipe, from.step, seconds_before, parts.progress); });
  const CheckpointLabels labels{resolved_yaml(recipe), to_json(parts.run.placement()).dump(), ""};
  checkpoints_.emplace(parts.run, recipe.output_directory + "/checkpoints", labels, parts.fingerprint,
                       recipe.checkpoint, *log_);
  const std::optional<ExampleSet>& validation = parts.inputs.sets.evaluated.validation;
  if (validation) validation_.emplace(batcher(parts, *validation));
  TrainerInputs inputs = trainer_inputs(parts, bank);
  inputs.decoder = &parts.decoder;
  inputs.bank = &bank;
  inputs.train = &train_;
  inputs.validation = validation_ ? &*validation_ : nullptr;
  inputs.observer = &*log_;
  make_trainer(inputs, trainer_, parts.run.world());
  if (from.files.empty()) return;
  const std::string& fingerprint = parts.fingerprint.get();
  parts.run.world().together([&] { restore_training(from.files, fingerprint, bank, *trainer_); });
  // One without its validation is none that an undisturbed run has: it is written again.
  checkpoints_->goes_on_from(trainer_->validation_pending() ? from.step - 1 : from.step);
  spdlog::info("going on from step {} of {}", from.step, trainer_->total_steps());
}

// A divergence of everybody comes out on all ranks as one agreed error.
void MemberTraining::run() {
  const Recipe& recipe = parts_.recipe;
  const std::int64_t validate_every = validation_ ? recipe.evaluation.every_epochs * trainer_->steps_per_epoch() : 0;
  RunControl control(parts_.run, bank_, {recipe.training.log_every, validate_every}, *checkpoints_, *log_);
  log_->start(trainer_->total_steps());
  control.watch(*trainer_);
  const std::uint64_t reduced_before = parts_.run.group().reduced_bytes();
  const std::int64_t steps_before = trainer_->steps_done();
  std::string divergence;
  try {
    trainer_->run(control);
  } catch (const DivergedError& error) {
    divergence = error.what();  // on all ranks alike
  }
  parts_.run.world().together([&] {
    if (!divergence.empty()) throw DivergedError(divergence);
  });
  log_->finish();
  each_rank_ = times_of_ranks(parts_.run);
  reduced_ = reduced_per_step(parts_.run, reduced_before, trainer_->steps_done() - steps_before);
}

void MemberTraining::save() {
  const bool is_saved = checkpoints_->has(trainer_->steps_done()) && !parts_.recipe.training.early_stopping;
  if (!is_saved) checkpoints_->save(bank_, *trainer_);
}

}  // namespace chorale
