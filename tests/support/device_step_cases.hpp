// Whole steps and trainings in bfloat16 with our kernels, on a GPU and in the kernels' emulation on the CPU alike.
#pragma once

#include <limits>

#include "core/inference/predictor.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"
#include "support/tiny_run.hpp"

namespace chorale::test {

inline const std::vector<TinyTask> kDeviceTasks = {{TaskKind::multiple_choice, Scoring::label_token},
                                                   {TaskKind::multiple_choice, Scoring::option_likelihood},
                                                   {TaskKind::completion, Scoring::label_token}};

/// A beginning long enough to be shared on a GPU too.
inline TinyRunOptions device_options(const TinyTask& task, at::ScalarType type, at::Device device) {
  TinyRunOptions options;
  options.task = task;
  options.dtype = type;
  options.device = device;
  options.common = static_cast<std::size_t>(ExampleBatcher::kShortestSharedOnDevice) + 4;
  options.adapter.dropout = 0.2;
  return options;
}

/// Gradients of a step against float64's.
inline void check_bfloat16_step(at::Device device) {
  for (const TinyTask& task : kDeviceTasks) {
    TinyRun exact(device_options(task, at::kDouble, at::kCPU));
    exact.trainer().compute_gradients(1);
    TinyRun run(device_options(task, at::kBFloat16, device));
    CHECK(run.train().common_rows() >= ExampleBatcher::kShortestSharedOnDevice);
    run.trainer().compute_gradients(1);
    const at::Tensor expected = exact.bank().gradients();
    const at::Tensor result = run.bank().gradients().to(at::kCPU).to(at::kDouble);
    CHECK((result - expected).norm().item<double>() < 0.05 * expected.norm().item<double>());
  }
}

/// Every member's loss with its divergence, step by step.
class KeptLosses : public TrainingObserver {
 public:
  void stepped(const StepReport& report) override {
    for (const MemberReport& member : report.members) values.push_back(member.loss + member.divergence);
  }
  std::vector<double> values;
};

/// Trainings whose passes, cut into slices of members, are recorded and repeated, against passes issued anew.
inline void check_recorded_training(at::Device device, const std::vector<TinyTask>& tasks, std::int64_t epochs) {
  for (const TinyTask& task : tasks) {
    KeptLosses losses[2];
    for (const bool record : {false, true}) {
      TinyRunOptions options = device_options(task, at::kBFloat16, device);
      options.training.epochs = epochs;
      options.record_passes = record;
      options.pass_size = PassSize{2, 4};
      options.observer = &losses[record ? 1 : 0];
      TinyRun run(options);
      run.trainer().run();
      CHECK((run.trainer().recordings() > 0) == record);
      // What products read is what the optimiser left, whoever rounded it.
      REQUIRE(run.bank().rounded().defined());
      CHECK(same_bits(run.bank().rounded().to(at::kCPU), run.bank().parameters().to(at::kBFloat16).to(at::kCPU)));
    }
    REQUIRE(losses[0].values.size() == losses[1].values.size());
    for (std::size_t i = 0; i < losses[0].values.size(); ++i) {
      CHECK(losses[1].values[i] == Approx(losses[0].values[i]).epsilon(0.02).margin(0.01));
    }
  }
}

/// Predictions with merged adapters against adapters beside the weights, both against float64.
inline void check_merged_predictions(at::Device device) {
  for (const TinyTask& task : kDeviceTasks) {
    const auto values = [&](TinyRun& run, Merging when) {
      Predictor predictor(run.decoder(), run.train(), run.bank().layout().lowest_layer(), 3, 0);
      predictor.merge(when, std::numeric_limits<std::uint64_t>::max());
      std::vector<float> all = predictor.share(run.bank(), nullptr).values;
      for (float& value : all) value = std::isinf(value) ? 0.0F : value;  // options that an example lacks
      return at::tensor(all).to(at::kDouble);
    };
    TinyRun exact(device_options(task, at::kDouble, at::kCPU));
    TinyRun run(device_options(task, at::kBFloat16, device));
    const at::Tensor expected = values(exact, Merging::never);
    const double beside = (values(run, Merging::never) - expected).abs().mean().item<double>();
    const double merged = (values(run, Merging::always) - expected).abs().mean().item<double>();
    INFO("beside " << beside << ", merged " << merged);
    CHECK(beside < 0.05);
    CHECK(merged < 1.5 * beside + 1e-3);
  }
}

}  // namespace chorale::test
