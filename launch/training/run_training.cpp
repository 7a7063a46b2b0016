#include "launch/training/run_training.hpp"

#include <spdlog/spdlog.h>

#include <optional>

#include "core/model/decoder.hpp"
#include "launch/training/base_fingerprint.hpp"
#include "launch/training/evaluation.hpp"
#include "launch/training/growth_files.hpp"
#include "launch/training/member_training.hpp"
#include "launch/training/run_files.hpp"
#include "launch/training/run_inputs.hpp"
#include "launch/training/run_result.hpp"
#include "launch/training/run_world.hpp"

namespace chorale {

RunResult run_training(const Recipe& recipe, bool resume, int threads, World& world, Progress& progress) {
  Timings timings;
  RunWorld run(world, recipe, RunPurpose::training);
  const RunInputs inputs = load_run_inputs(recipe, world);
  run.compute_on(inputs.decoder.device);
  std::optional<RunFiles> files;
  world.on_root([&] {
    files.emplace(recipe, resume);
    clear_joined_growth(recipe.output_directory);
  });
  const bool nothing_to_do = !run.all(!files || !files->finished());
  if (nothing_to_do) {
    spdlog::info("{} holds a finished run; nothing is left to do", recipe.output_directory);
    world.on_root([&] {
      const std::string note = growth_note(recipe.output_directory);
      if (!note.empty()) spdlog::warn("{} {}", recipe.output_directory, note);
    });
    return files ? *files->finished() : RunResult();
  }
  check_memory(recipe, inputs, run);
  BaseFingerprint fingerprint(*inputs.base, world);
  const ResumePoint from = resume ? find_resume_point(run, recipe.output_directory + "/checkpoints") : ResumePoint();

  std::optional<Decoder> decoder;
  std::optional<AdapterBank> bank;
  world.together([&] {
    decoder.emplace(*inputs.base, inputs.decoder);
    bank.emplace(make_bank(recipe, inputs, run));
  });
  announce(recipe, inputs, run, bank->layout().parameters(), threads);
  timings.take("loading");

  const double seconds_before = begin_together(files, recipe, from.step, world);
  MemberTraining training({recipe, inputs, *decoder, fingerprint, run, progress}, *bank, from, seconds_before);
  training.run();
  timings.take("training");
  training.save();
  timings.take("saving");

  Trainer& trainer = training.trainer();
  const EvaluationSets& sets = inputs.sets.evaluated;
  const KnownPredictions known{sets.validation ? &*sets.validation : nullptr, trainer.current_validation()};
  const SetPredictions predictions = predict_sets(all_of(sets), recipe, *decoder, *bank, known, run, progress);
  nlohmann::json datasets;
  world.on_root([&] { datasets = metrics_of(predictions, recipe); });
  timings.take("evaluation");
  const nlohmann::json members = member_states(trainer, run);
  nlohmann::json facts = timings_json(timings, run, inputs, threads, training.log().tokens_per_second());
  facts["reduced_bytes_per_step"] = training.reduced_bytes_per_step();
  facts["each_rank"] = training.each_rank();
  const std::string& base = fingerprint.get();
  RunResult outcome;
  world.on_root([&] {
    outcome.metrics = metrics_json(recipe, base, bank->layout().parameters(), trainer.steps_done(), members, datasets);
    outcome.timings = facts;
    training.log().result(trainer.steps_done(), datasets);
    files->finish(recipe, predictions.choices, outcome);
  });
  return outcome;
}

}  // namespace chorale
