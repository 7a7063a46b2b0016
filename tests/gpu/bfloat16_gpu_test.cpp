// What a recipe runs on a GPU: bfloat16, our kernels, flash attention, recorded passes.
#include "gpu/gpu_world.hpp"
#include "support/device_step_cases.hpp"

using namespace chorale;
using namespace chorale::test;

TEST_CASE("gradients of a bfloat16 step on the GPU are near float64's, with prompts shared and dropout on") {
  if (has_gpus()) check_bfloat16_step(gpu());
}

TEST_CASE("passes repeated as CUDA graphs train as passes issued anew") {
  if (has_gpus()) check_recorded_training(gpu(), kDeviceTasks, 5);
}

TEST_CASE("on the GPU merged adapters predict as adapters beside the weights") {
  if (has_gpus()) check_merged_predictions(gpu());
}
