#include "launch/training/growth.hpp"

#include <spdlog/spdlog.h>

#include <optional>

#include "core/model/decoder.hpp"
#include "core/model/device.hpp"
#include "core/training/checkpoint.hpp"
#include "launch/training/base_fingerprint.hpp"
#include "launch/training/determinism.hpp"
#include "launch/training/evaluation.hpp"
#include "launch/training/growth_files.hpp"
#include "launch/training/member_training.hpp"
#include "launch/training/run_files.hpp"
#include "launch/training/run_inputs.hpp"
#include "launch/training/run_result.hpp"
#include "launch/training/run_world.hpp"

namespace chorale {
namespace {

GrowthStage agreed_stage(const Recipe& recipe, bool resume, World& world) {
  GrowthStage stage{recipe.ensemble.members, 0};
  if (!resume) return stage;
  world.on_root([&] { stage = next_stage(recipe); });
  const auto told = nlohmann::json::parse(world.broadcast(nlohmann::json({stage.members, stage.grows_from}).dump()));
  return {told[0].get<std::int64_t>(), told[1].get<std::int64_t>()};
}

// The checkpoint with all members, and how each ended, on every rank.
JoinedMembers joined_by_root(const Recipe& recipe, std::int64_t grows_from, World& world) {
  JoinedMembers joined;
  nlohmann::json told;
  world.on_root([&] {
    joined = join_members(recipe, grows_from);
    told = {{"directory", joined.checkpoint.directory},
            {"step", joined.checkpoint.step},
            {"files", joined.checkpoint.files},
            {"states", joined.states}};
  });
  told = nlohmann::json::parse(world.broadcast(told.dump()));
  joined.checkpoint = {told["directory"].get<std::string>(), told["step"].get<std::int64_t>(),
                       told["files"].get<std::vector<std::string>>()};
  joined.states = told["states"];
  return joined;
}

// Trains the members of parts.run to the end, in the growth's directory, which `files` is on rank 0. Returns tokens per
// second.
double train_new_members(const TrainingParts& parts, const std::optional<RunFiles>& files, int threads,
                         Timings& timings) {
  World& world = parts.run.world();
  const ResumePoint from = find_resume_point(parts.run, parts.recipe.output_directory + "/checkpoints");
  std::optional<AdapterBank> bank;
  world.together([&] { bank.emplace(make_bank(parts.recipe, parts.inputs, parts.run)); });
  announce(parts.recipe, parts.inputs, parts.run, bank->layout().parameters(), threads);
  timings.take("loading");
  MemberTraining training(parts, *bank, from, begin_together(files, parts.recipe, from.step, world));
  training.run();
  timings.take("training");
  training.save();
  timings.take("saving");
  return training.log().tokens_per_second();
}

RunResult grow_run(const Recipe& recipe, std::int64_t grows_from, int threads, World& world, Progress& progress) {
  Timings timings;
  Recipe growing = recipe;
  growing.output_directory = growth_directory(recipe.output_directory);
  RunWorld part(world, growing, RunPurpose::training, grows_from);
  const RunInputs inputs = load_run_inputs(recipe, world);
  part.compute_on(inputs.decoder.device);
  BaseFingerprint computed(*inputs.base, world);
  const std::string& fingerprint = computed.get();
  std::optional<RunFiles> files;
  std::optional<RunFiles> part_files;
  world.on_root([&] {
    files.emplace(recipe, true);
    clear_joined_growth(recipe.output_directory);
    check_can_grow(recipe.output_directory, grows_from, fingerprint);
    part_files.emplace(growing, true);
  });
  check_memory(growing, inputs, part);
  spdlog::info("{} is finished and grows from {} to {} members", recipe.output_directory, grows_from,
               recipe.ensemble.members);
  std::optional<Decoder> decoder;
  world.together([&] { decoder.emplace(*inputs.base, inputs.decoder); });
  const double speed =
      train_new_members({growing, inputs, *decoder, computed, part, progress}, part_files, threads, timings);

  const JoinedMembers joined = joined_by_root(recipe, grows_from, world);
  RunWorld all(world, recipe, RunPurpose::prediction);
  std::optional<AdapterBank> bank;
  world.together([&] {
    bank.emplace(make_bank(recipe, inputs, all));
    load_adapters(joined.checkpoint.files, fingerprint, *bank);
  });
  const SetPredictions predictions =
      predict_sets(all_of(inputs.sets.evaluated), recipe, *decoder, *bank, {}, all, progress);
  RunResult outcome;
  world.on_root([&] {
    outcome.metrics = metrics_json(recipe, fingerprint, bank->layout().parameters(), joined.checkpoint.step,
                                   joined.states, metrics_of(predictions, recipe));
  });
  timings.take("evaluation");
  outcome.timings = timings_json(timings, all, inputs, threads, speed);
  world.on_root([&] { join(*files, recipe, joined.checkpoint, predictions.choices, outcome); });
  return outcome;
}

}  // namespace

RunResult train_or_grow(const Recipe& recipe, bool resume, World& world, Progress& progress) {
  for (const std::string& line : settle_determinism(recipe.distributed)) spdlog::info("{}", line);
  const int threads = start_threads(0, world.node_size());
  for (;;) {
    const GrowthStage stage = agreed_stage(recipe, resume, world);
    const Recipe part = with_members(recipe, stage.members);
    RunResult result = stage.grows_from > 0 ? grow_run(part, stage.grows_from, threads, world, progress)
                                            : run_training(part, resume, threads, world, progress);
    if (stage.members == recipe.ensemble.members) return result;
  }
}

}  // namespace chorale
