#include "launch/training/run_training.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <optional>
#include <sstream>

#include "core/adapters/adapter_bank.hpp"
#include "core/base/errors.hpp"
#include "core/base/interruption.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/model/decoder.hpp"
#include "core/model/device.hpp"
#include "core/storage/predictions_file.hpp"
#include "core/training/memory_estimate.hpp"
#include "core/training/trainer.hpp"
#include "core/weights/base_files.hpp"
#include "launch/results/report_files.hpp"
#include "launch/results/report_source.hpp"
#include "launch/training/data_sets.hpp"
#include "launch/training/evaluation.hpp"
#include "launch/training/memory_check.hpp"
#include "launch/training/run_checkpoints.hpp"
#include "launch/training/run_control.hpp"
#include "launch/training/run_files.hpp"
#include "launch/training/run_log.hpp"
#include "launch/training/run_result.hpp"
#include "launch/training/run_world.hpp"
#include "launch/training/same_inputs.hpp"

namespace chorale {
namespace {

// `memory`: what this process may use of its machine's.
std::uint64_t prefix_budget(const TrainingConfig& training, std::uint64_t memory) {
  switch (training.prefix_cache) {
    case PrefixCacheMode::automatic:
      return memory / 4;
    case PrefixCacheMode::off:
      return 0;
    case PrefixCacheMode::bytes:
      return training.prefix_cache_bytes;
  }
  return 0;
}

// Everything read from files, so that every mistake in them shows before training starts.
struct Inputs {
  std::unique_ptr<BaseFiles> base;
  DataSets sets;
  DecoderOptions decoder;
  std::optional<AdapterLayout> layout;
};

Inputs load_inputs(const Recipe& recipe, const World& world) {
  Inputs inputs;
  inputs.decoder.device = choose_device(recipe.base.device, world.node_rank());  // quick to find missing, so first
  inputs.base = open_base(recipe.base.path);
  const auto tokenizer = load_tokenizer(recipe.base.path);
  inputs.sets = load_data_sets(recipe, {*tokenizer, inputs.base->config().vocabulary});
  inputs.layout.emplace(inputs.base->config(), recipe.adapter);
  inputs.decoder.dtype = recipe.base.dtype == BaseDtype::bfloat16 ? at::kBFloat16 : at::kFloat;
  return inputs;
}

// The rank's share of a batch is rounded up: of several ranks the first has it.
MemoryNeed need_of(const Recipe& recipe, const Inputs& inputs, const RunWorld& run) {
  const std::int64_t ranks = run.group().size();
  return least_memory(recipe, inputs.base->config(), inputs.sets.train, static_cast<std::int64_t>(run.members().size()),
                      (recipe.training.batch_size + ranks - 1) / ranks);
}

AdapterBank make_bank(const Recipe& recipe, const Inputs& inputs, const RunWorld& run) {
  BankOptions options;
  options.members = run.members();
  options.seed = recipe.seed;
  options.vary_initialisation = recipe.ensemble.vary_initialisation;
  options.device = inputs.decoder.device;
  return {inputs.base->config(), recipe.adapter, options};
}

TrainerInputs trainer_inputs(const Recipe& recipe, const RunWorld& run) {
  TrainerInputs inputs;
  inputs.training = recipe.training;
  inputs.evaluation = recipe.evaluation;
  inputs.vary_data_order = recipe.ensemble.vary_data_order;
  inputs.seed = recipe.seed;
  // Machines may differ; ranks must not.
  inputs.memory = run.smallest(physical_memory() / static_cast<std::uint64_t>(run.world().node_size()));
  inputs.prefix_budget = prefix_budget(recipe.training, inputs.memory);
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

// Trains to the end. A divergence of everybody comes out on all ranks as one agreed error.
void train_to_the_end(Trainer& trainer, RunControl& control, World& world) {
  control.watch(trainer);
  std::string divergence;
  try {
    trainer.run(control);
  } catch (const DivergedError& error) {
    divergence = error.what();  // on all ranks alike
  }
  world.together([&] {
    if (!divergence.empty()) throw DivergedError(divergence);
  });
}

}  // namespace

RunResult run_training(const Recipe& recipe, bool resume, World& world, Progress& progress) {
  Timings timings;
  const int threads = start_threads(0, world.node_size());
  RunWorld run(world, recipe, RunPurpose::training);
  Inputs inputs;
  world.together([&] { inputs = load_inputs(recipe, world); });
  std::vector<const ExampleSet*> read = all_of(inputs.sets.evaluated);
  read.push_back(&inputs.sets.train);
  check_same_data(read, world);
  check_same_base(*inputs.base, world);
  run.compute_on(inputs.decoder.device);
  std::optional<RunFiles> files;
  world.on_root([&] { files.emplace(recipe, resume); });
  const bool nothing_to_do = !run.all(!files || !files->finished());
  if (nothing_to_do) {
    spdlog::info("{} holds a finished run; nothing is left to do", recipe.output_directory);
    return files ? *files->finished() : RunResult();
  }
  world.together([&] {
    if (inputs.decoder.device.is_cpu())
      check_memory(need_of(recipe, inputs, run), physical_memory(), world.node_size(), world.host());
  });
  std::string fingerprint;
  world.on_root([&] { fingerprint = inputs.base->fingerprint(); });
  fingerprint = world.broadcast(fingerprint);
  const std::string checkpoint_directory = recipe.output_directory + "/checkpoints";
  const ResumePoint from = resume ? find_resume_point(run, checkpoint_directory) : ResumePoint();

  std::optional<Decoder> decoder_made;
  std::optional<AdapterBank> bank_made;
  world.together([&] {
    decoder_made.emplace(*inputs.base, inputs.decoder);
    bank_made.emplace(make_bank(recipe, inputs, run));
  });
  const Decoder& decoder = *decoder_made;
  AdapterBank& bank = *bank_made;
  const std::string& name = inputs.base->config().name;
  spdlog::info("{} members x {} adapter parameters over {} on {}; {} {} per rank", recipe.ensemble.members,
               bank.layout().parameters(), name.empty() ? recipe.base.path : name,
               inputs.decoder.device.is_cpu() ? "the CPU" : "the GPU", threads, threads == 1 ? "thread" : "threads");
  std::istringstream groups(world.size() > 1 ? describe(run.placement()) : "");
  for (std::string line; std::getline(groups, line);) spdlog::info("{}", line);
  timings.take("loading");

  double seconds_before = 0.0;
  world.on_root([&] { seconds_before = files->begin(recipe, from.step); });
  seconds_before = nlohmann::json::parse(world.broadcast(nlohmann::json(seconds_before).dump())).get<double>();
  std::optional<RunLog> log;
  world.together([&] { log.emplace(run, recipe, from.step, seconds_before, progress); });
  RunCheckpoints checkpoints(run, checkpoint_directory,
                             {resolved_yaml(recipe), to_json(run.placement()).dump(), fingerprint}, recipe.checkpoint,
                             *log);
  const auto batcher = [&](const ExampleSet& set) {
    return ExampleBatcher(set, recipe.task.kind, recipe.task.scoring, inputs.decoder.device, decoder.residual_dtype());
  };
  const ExampleBatcher train = batcher(inputs.sets.train);
  const std::optional<ExampleBatcher> validation =
      inputs.sets.evaluated.validation ? std::optional<ExampleBatcher>(batcher(*inputs.sets.evaluated.validation))
                                       : std::nullopt;
  TrainerInputs parts = trainer_inputs(recipe, run);
  parts.decoder = &decoder;
  parts.bank = &bank;
  parts.train = &train;
  parts.validation = validation ? &*validation : nullptr;
  parts.observer = &*log;
  std::optional<Trainer> trainer_made;
  make_trainer(parts, trainer_made, world);
  Trainer& trainer = *trainer_made;
  if (!from.files.empty()) {
    world.together([&] { restore_training(from.files, fingerprint, bank, trainer); });
    // One without its validation is none that an undisturbed run has: it is written again.
    checkpoints.goes_on_from(trainer.validation_pending() ? from.step - 1 : from.step);
    spdlog::info("going on from step {} of {}", from.step, trainer.total_steps());
  }

  const std::int64_t validate_every = validation ? recipe.evaluation.every_epochs * trainer.steps_per_epoch() : 0;
  RunControl control(run, bank, {recipe.training.log_every, validate_every}, checkpoints, *log);
  log->start(trainer.total_steps());
  train_to_the_end(trainer, control, world);
  log->finish();
  timings.take("training");
  const bool is_saved = checkpoints.has(trainer.steps_done()) && !recipe.training.early_stopping;
  if (!is_saved) checkpoints.save(bank, trainer);
  timings.take("saving");

  const EvaluationSets& sets = inputs.sets.evaluated;
  const KnownPredictions known{sets.validation ? &*sets.validation : nullptr, trainer.current_validation()};
  const SetPredictions predictions = predict_sets(all_of(sets), recipe, decoder, bank, known, run, progress);
  nlohmann::json datasets;
  world.on_root([&] { datasets = metrics_of(predictions, recipe); });
  timings.take("evaluation");
  const nlohmann::json members = member_states(trainer, run);
  const nlohmann::json memory = peak_memory(run);
  RunResult outcome;
  world.on_root([&] {
    if (!predictions.choices.empty()) write_predictions(files->file("predictions.h5"), predictions.choices);
    outcome.metrics =
        metrics_json(recipe, fingerprint, bank.layout().parameters(), trainer.steps_done(), members, datasets);
    outcome.timings = {{"seconds", timings.json()},
                       {"peak_memory_bytes", memory},
                       {"ranks", world.size()},
                       {"threads_per_rank", threads},
                       {"tokens_per_second", log->tokens_per_second()},
                       {"placement", to_json(run.placement())},
                       {"device", inputs.decoder.device.is_cpu() ? "CPU" : "GPU"},
                       {"versions", {{"torch", CHORALE_TORCH_VERSION}}}};
    log->result(trainer.steps_done(), datasets);
    write_report_of_training(report_run(recipe, resolved_yaml(recipe), outcome.metrics, outcome.timings));
    files->finish(outcome);
  });
  return outcome;
}

}  // namespace chorale
