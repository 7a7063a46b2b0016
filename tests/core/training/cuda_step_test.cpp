// A whole training step in bfloat16 with the CUDA kernels, in their emulation on the CPU.
#include "support/catch.hpp"
#include "support/cuda_emulation.hpp"
#include "support/device_step_cases.hpp"
#include "support/emulated_kernels.hpp"
#include "support/tiny_run.hpp"

using namespace chorale;
using namespace chorale::test;

TEST_CASE("a bfloat16 step with all CUDA kernels, emulated, is as near to float64 as torch's operations are") {
  const auto gradients = [](const TinyTask& task, at::ScalarType type) {
    TinyRunOptions options;
    options.task = task;
    options.dtype = type;
    options.adapter.dropout = 0.2;
    TinyRun run(options);
    run.trainer().compute_gradients(1);
    return run.bank().gradients().to(at::kDouble);
  };
  for (const TinyTask& task : kDeviceTasks) {
    const at::Tensor exact_ones = gradients(task, at::kDouble);
    const double plain = (gradients(task, at::kBFloat16) - exact_ones).norm().item<double>();
    const EmulatedKernels on;
    const std::uint64_t before = emulation::launches();
    const double ours = (gradients(task, at::kBFloat16) - exact_ones).norm().item<double>();
    CHECK(emulation::launches() > before + 20);
    CHECK(ours < 1.5 * plain);
    CHECK(ours < 0.05 * exact_ones.norm().item<double>());
  }
}

TEST_CASE("gradients of a bfloat16 step by the emulated kernels are near float64's, with prompts shared") {
  const EmulatedKernels on;
  check_bfloat16_step(at::kCPU);
}

TEST_CASE("passes repeated by the emulated kernels train as passes issued anew") {
  const EmulatedKernels on;
  check_recorded_training(at::kCPU, {kDeviceTasks[1]}, 2);  // emulated, an epoch takes seconds
}

TEST_CASE("merged adapters predict as adapters beside the weights by the emulated kernels") {
  const EmulatedKernels on;
  check_merged_predictions(at::kCPU);
}
