// A Trainer as the benchmark uses it.
#pragma once

#include <vector>

#include "bench/bench_options.hpp"
#include "core/model/device.hpp"
#include "core/training/memory_estimate.hpp"
#include "core/training/trainer.hpp"

namespace chorale::bench {

/// Keeps every member's loss of the last step.
class LastLosses : public TrainingObserver {
 public:
  void stepped(const StepReport& report) override {
    losses.clear();
    for (const MemberReport& member : report.members) losses.push_back(member.loss);
  }
  std::vector<double> losses;
};

/// What all measurements have in common; callers set the number of steps.
inline TrainerInputs trainer_inputs(const Options& options, const Decoder& decoder, const ExampleBatcher& train,
                                    AdapterBank& bank, Communicator& group, TrainingObserver& observer) {
  TrainerInputs inputs;
  inputs.decoder = &decoder;
  inputs.bank = &bank;
  inputs.train = &train;
  inputs.training.batch_size = options.batch;
  inputs.training.steps = 2;
  inputs.vary_data_order = !options.share_batch;
  inputs.prefix_budget = options.no_prefix ? 0 : 1ULL << 32U;
  inputs.share_prefix = !options.no_prefix;
  inputs.record_passes = !decoder.device().is_cpu();
  if (options.recompute == "light") inputs.training.recompute = Recompute::light;
  if (options.recompute == "full") inputs.training.recompute = Recompute::full;
  if (decoder.device().is_cuda()) {
    const std::uint64_t base = base_bytes(decoder.config(), BaseDtype::bfloat16, true);
    const auto asked = static_cast<std::uint64_t>(options.memory * 1e9);
    inputs.activation_budget = activation_budget(asked > 0 ? asked : gpu_memory(decoder.device()), true, base);
  }
  inputs.group = &group;
  inputs.observer = &observer;
  return inputs;
}

}  // namespace chorale::bench
