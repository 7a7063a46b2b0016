#include "launch/training/run_result.hpp"

#include "core/base/process_memory.hpp"
#include "launch/library_versions.hpp"
#include "launch/results/run_reader.hpp"

namespace chorale {

namespace {

// Of a MemberState or MemberProgress.
template <typename State>
nlohmann::json described(const State& state, std::int64_t tokens) {
  return {{"diverged", state.diverged},
          {"stopped_at", state.stopped_at < 0 ? nlohmann::json() : nlohmann::json(state.stopped_at)},
          {"best_step", state.best_step < 0 ? nlohmann::json() : nlohmann::json(state.best_step)},
          {"tokens", tokens}};
}

}  // namespace

nlohmann::json member_states(Trainer& trainer, const RunWorld& run) {
  nlohmann::json own = nlohmann::json::array();
  for (std::size_t m = 0; m < run.members().size() && run.leads_group(); ++m) {
    own.push_back(described(trainer.states()[m], trainer.interval().tokens()[m]));
  }
  return run.gather(own);  // groups hold consecutive members, so the order of ranks is theirs
}

nlohmann::json member_state(const MemberProgress& progress) {
  return described(progress, progress.tokens);
}

std::int64_t own_peak_memory() {
  return static_cast<std::int64_t>(peak_process_memory());
}

nlohmann::json peak_memory(const RunWorld& run) {
  return run.gather(nlohmann::json::array({own_peak_memory()}));
}

nlohmann::json timings_json(const Timings& timings, const RunWorld& run, const RunInputs& inputs, int threads,
                            double tokens_per_second) {
  return {{"seconds", timings.json()},
          {"peak_memory_bytes", peak_memory(run)},
          {"ranks", run.world().size()},
          {"threads_per_rank", threads},
          {"tokens_per_second", tokens_per_second},
          {"placement", to_json(run.placement())},
          {"device", inputs.decoder.device.is_cpu() ? "CPU" : "GPU"},
          {"versions", library_versions()}};
}

nlohmann::json metrics_json(const Recipe& recipe, const std::string& base_fingerprint,
                            std::int64_t parameters_per_member, std::int64_t steps, const nlohmann::json& members,
                            const nlohmann::json& datasets) {
  std::int64_t tokens = 0;
  for (const nlohmann::json& member : members) tokens += member["tokens"].get<std::int64_t>();
  return {{"format", "chorale-metrics"},
          {"format_version", kMetricsVersion},
          {"created_by", "chorale " CHORALE_VERSION},
          {"name", recipe.name},
          {"seed", recipe.seed},
          {"base_fingerprint", base_fingerprint},
          {"members", recipe.ensemble.members},
          {"adapter_parameters_per_member", parameters_per_member},
          {"training", {{"steps", steps}, {"tokens", tokens}, {"members", members}}},
          {"datasets", datasets}};
}

}  // namespace chorale
