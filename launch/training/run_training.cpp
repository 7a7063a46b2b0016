#include "launch/training/run_training.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <numeric>
#include <optional>

#include "core/adapters/adapter_bank.hpp"
#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/model/decoder.hpp"
#include "core/model/device.hpp"
#include "core/parallel/communicator.hpp"
#include "core/storage/predictions_file.hpp"
#include "core/training/checkpoint.hpp"
#include "core/training/memory_estimate.hpp"
#include "core/training/trainer.hpp"
#include "core/weights/base_files.hpp"
#include "launch/training/data_sets.hpp"
#include "launch/training/evaluation.hpp"
#include "launch/training/run_directory.hpp"
#include "launch/training/run_log.hpp"

namespace chorale {
namespace {

std::uint64_t prefix_budget(const TrainingConfig& training) {
  switch (training.prefix_cache) {
    case PrefixCacheMode::automatic:
      return physical_memory() / 4;
    case PrefixCacheMode::off:
      return 0;
    case PrefixCacheMode::bytes:
      return training.prefix_cache_bytes;
  }
  return 0;
}

std::int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

// Seconds of each part, in the order they were taken.
class Timings {
 public:
  void take(const char* part) {
    const double now = Progress::steady_seconds();
    parts_[part] = now - last_;
    last_ = now;
  }
  [[nodiscard]] const nlohmann::json& json() const { return parts_; }

 private:
  double last_ = Progress::steady_seconds();
  nlohmann::json parts_ = nlohmann::json::object();
};

nlohmann::json member_states(const Trainer& trainer) {
  nlohmann::json members = nlohmann::json::array();
  for (const MemberState& state : trainer.states()) {
    members.push_back({{"diverged", state.diverged},
                       {"stopped_at", state.stopped_at < 0 ? nlohmann::json() : nlohmann::json(state.stopped_at)},
                       {"best_step", state.best_step < 0 ? nlohmann::json() : nlohmann::json(state.best_step)}});
  }
  return members;
}

}  // namespace

nlohmann::json run_training(const Recipe& recipe, Progress& progress) {
  Timings timings;
  const int threads = start_threads(0);
  const auto files = open_base(recipe.base.path);
  const auto tokenizer = load_tokenizer(recipe.base.path);
  const DataSets sets = load_data_sets(recipe, *tokenizer, files->config().vocabulary);
  // Checked before anything is written: the adapter's layers against the base, and the device.
  static_cast<void>(AdapterLayout(files->config(), recipe.adapter));
  DecoderOptions options;
  options.dtype = recipe.base.dtype == BaseDtype::bfloat16 ? at::kBFloat16 : at::kFloat;
  options.device = choose_device(recipe.base.device);
  const RunDirectory directory(recipe.output_directory);
  write_file_atomically(directory.file("recipe.yaml"), resolved_yaml(recipe));

  const Decoder decoder(*files, options);
  BankOptions bank_options;
  bank_options.members.resize(static_cast<std::size_t>(recipe.ensemble.members));
  std::iota(bank_options.members.begin(), bank_options.members.end(), 0U);
  bank_options.seed = recipe.seed;
  bank_options.vary_initialisation = recipe.ensemble.vary_initialisation;
  bank_options.device = options.device;
  AdapterBank bank(files->config(), recipe.adapter, bank_options);
  spdlog::info("{} members x {} adapter parameters over {} on {}, {} threads", bank.member_count(),
               bank.layout().parameters(), files->config().name.empty() ? recipe.base.path : files->config().name,
               options.device.is_cpu() ? "the CPU" : "the GPU", threads);
  timings.take("loading");

  RunLog log(directory.file("log.jsonl"), progress);
  SoloCommunicator group;
  const auto batcher = [&](const ExampleSet& set) {
    return ExampleBatcher(set, recipe.task.kind, recipe.task.scoring, options.device, decoder.residual_dtype());
  };
  const ExampleBatcher train = batcher(sets.train);
  const std::optional<ExampleBatcher> validation =
      sets.validation ? std::optional<ExampleBatcher>(batcher(*sets.validation)) : std::nullopt;
  TrainerInputs inputs;
  inputs.decoder = &decoder;
  inputs.bank = &bank;
  inputs.train = &train;
  inputs.validation = validation ? &*validation : nullptr;
  inputs.training = recipe.training;
  inputs.evaluation = recipe.evaluation;
  inputs.vary_data_order = recipe.ensemble.vary_data_order;
  inputs.seed = recipe.seed;
  inputs.prefix_budget = prefix_budget(recipe.training);
  inputs.memory = physical_memory();
  inputs.group = &group;
  inputs.observer = &log;
  Trainer trainer(inputs);
  log.start(trainer.total_steps());
  trainer.run();
  log.finish();
  timings.take("training");
  const std::string fingerprint = files->fingerprint();
  const std::string placement = fmt::format("group 0 of 1: members 0 to {} on rank 0", recipe.ensemble.members - 1);
  save_checkpoint(directory.file("checkpoints"), {resolved_yaml(recipe), placement, fingerprint}, bank, trainer);
  timings.take("saving");

  const EvaluationResult result = evaluate_sets(recipe, sets, decoder, bank, trainer.current_validation(), progress);
  timings.take("evaluation");
  if (!result.predictions.empty()) write_predictions(directory.file("predictions.h5"), result.predictions);
  nlohmann::json metrics = {
      {"format", "chorale-metrics"},
      {"format_version", 1},
      {"created_by", "chorale " CHORALE_VERSION},
      {"name", recipe.name},
      {"seed", recipe.seed},
      {"base_fingerprint", fingerprint},
      {"members", recipe.ensemble.members},
      {"adapter_parameters_per_member", bank.layout().parameters()},
      {"training", {{"steps", trainer.steps_done()}, {"tokens", log.tokens()}, {"members", member_states(trainer)}}},
      {"datasets", result.datasets},
      {"seconds", timings.json()},
      {"peak_memory_bytes", peak_memory_bytes()}};
  write_file_atomically(directory.file("metrics.json"), metrics.dump(2) + "\n");
  return metrics;
}

}  // namespace chorale
