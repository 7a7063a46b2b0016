// Whole training steps and trainings of the tiny decoder on the GPU against the CPU.
#include "core/inference/predictor.hpp"
#include "core/training/checkpoint.hpp"
#include "gpu/gpu_world.hpp"
#include "support/catch.hpp"
#include "support/device_step_cases.hpp"
#include "support/scratch_directory.hpp"
#include "support/tensors.hpp"
#include "support/tiny_run.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

TinyRunOptions options_of(const TinyTask& task, at::ScalarType type, at::Device device) {
  TinyRunOptions options;
  options.task = task;
  options.dtype = type;
  options.device = device;
  options.adapter.dropout = 0.2;
  return options;
}

double relative(const at::Tensor& here, const at::Tensor& expected) {
  return difference(here.to(at::kCPU), expected) / expected.abs().max().item<double>();
}

std::vector<float> predictions_of(TinyRun& run) {
  Predictor predictor(run.decoder(), run.train(), run.bank().layout().lowest_layer(), 4, 0);
  return predictor.choices(run.bank(), nullptr).log_probabilities;
}

// Largest difference of two predictions; options that an example lacks are -inf in both.
double difference_of(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = a.size() == b.size() ? 0.0 : 1e30;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i] == b[i]) continue;
    const double distance = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    largest = std::isnan(distance) ? 1e30 : std::max(largest, distance);
  }
  return largest;
}

}  // namespace

TEST_CASE("gradients of one step on the GPU equal the CPU's") {
  if (!has_gpus()) return;
  for (const TinyTask& task : kDeviceTasks) {
    for (const bool kl : {false, true}) {
      for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
        const auto run_on = [&](at::Device device) {
          TinyRunOptions options = options_of(task, type, device);
          if (kl) options.training.kl_to_base = KlToBase{0.7, KlDirection::member_to_base};
          auto run = std::make_unique<TinyRun>(options);
          const Trainer::Gradients gradients = run->trainer().compute_gradients(1);
          return std::pair(std::move(run), gradients);
        };
        const auto [cpu, expected] = run_on(at::kCPU);
        const auto [there, result] = run_on(gpu());
        CHECK(there->bank().gradients().device() == gpu());
        // The base's predictions, which KL compares with, are float32 in either case.
        const double bound = type == at::kFloat ? 1e-5 : (kl ? 1e-6 : 1e-12);
        CHECK(relative(there->bank().gradients(), cpu->bank().gradients()) < bound);
        for (std::size_t m = 0; m < expected.loss.size(); ++m) {
          CHECK(result.loss[m] == Approx(expected.loss[m]).epsilon(bound));
          CHECK(result.tokens[m] == expected.tokens[m]);
        }
      }
    }
  }
}

TEST_CASE("a training on the GPU ends with the CPU's adapters and predictions") {
  if (!has_gpus()) return;
  for (const TinyTask& task : kDeviceTasks) {
    for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
      TinyRun cpu(options_of(task, type, at::kCPU));
      TinyRun there(options_of(task, type, gpu()));
      cpu.trainer().run();
      there.trainer().run();
      CHECK(there.trainer().steps_done() == cpu.trainer().steps_done());
      // Adam divides by the gradient's own size, so rounding shows more in the adapters than in gradients: on the CPU
      // float32 and float64 differ by 2e-6 here.
      const double bound = type == at::kFloat ? 1e-4 : 1e-9;
      CHECK(relative(there.bank().parameters(), cpu.bank().parameters()) < bound);
      if (task.kind == TaskKind::completion) continue;
      CHECK(difference_of(predictions_of(there), predictions_of(cpu)) < (type == at::kFloat ? 1e-4 : 2e-6));  // float32
    }
  }
}

TEST_CASE("a checkpoint written from the GPU goes on on the CPU, and the other way round") {
  if (!has_gpus()) return;
  const ScratchDirectory scratch;
  for (const bool from_gpu : {true, false}) {
    TinyRunOptions options = options_of(kDeviceTasks[0], at::kFloat, from_gpu ? gpu() : c10::Device(at::kCPU));
    TinyRun first(options);
    for (int step = 0; step < 3; ++step) first.trainer().step();
    first.trainer().interval().collect();
    const std::string path = scratch.file(from_gpu ? "gpu.h5" : "cpu.h5");
    GroupCheckpoint({"name: tiny\n", "{}", "tiny"}, first.bank(), first.trainer()).write(path);

    options.device = from_gpu ? c10::Device(at::kCPU) : gpu();
    options.random_b = false;
    TinyRun second(options);
    restore_training({&path, 1}, "tiny", second.bank(), second.trainer());
    CHECK(second.trainer().steps_done() == 3);
    CHECK(second.bank().parameters().device() == options.device);
    CHECK(same_bits(second.bank().parameters().to(at::kCPU), first.bank().parameters().to(at::kCPU)));
    CHECK(same_bits(second.trainer().optimiser().second_moment().to(at::kCPU),
                    first.trainer().optimiser().second_moment().to(at::kCPU)));
    CHECK(difference_of(predictions_of(first), predictions_of(second)) < 1e-4);
    first.trainer().run();
    second.trainer().run();
    CHECK(relative(second.bank().parameters().to(at::kCPU), first.bank().parameters().to(at::kCPU)) < 1e-4);
  }
}
