// Our CUDA kernels and flash attention on a real GPU: the very cases their emulation is put through on the CPU
// (tests/core/kernels/cuda_kernels_test.cpp), twice, because the same work must give the same bits.
#include <functional>

#include "core/kernels/device_kernels.hpp"
#include "gpu/gpu_world.hpp"
#include "support/attention_cases.hpp"
#include "support/kernel_cases.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

void twice(const std::function<Results(at::Device)>& check) {
  REQUIRE(DeviceKernels(gpu()));
  const Results first = check(gpu());
  const Results second = check(gpu());
  bool equal = first.size() == second.size();
  for (std::size_t i = 0; equal && i < first.size(); ++i) {
    equal = same_bits(first[i].nan_to_num(7.0), second[i].nan_to_num(7.0));
  }
  CHECK(equal);
}

}  // namespace

TEST_CASE("the CUDA RMS norm equals its twin, with and without the addition, gradients too") {
  if (has_gpus()) twice(check_rms_norm);
}

TEST_CASE("the CUDA SwiGLU equals its twin, gradients too") {
  if (has_gpus()) twice(check_swiglu);
}

TEST_CASE("the CUDA rotary embedding equals the definition and turns back") {
  if (has_gpus()) twice(check_rotary);
}

TEST_CASE("the CUDA low-rank products equal float64 products") {
  if (has_gpus()) twice(check_low_rank);
}

TEST_CASE("the CUDA output head equals its twin, gradients too") {
  if (has_gpus()) twice(check_output_head);
}

TEST_CASE("the CUDA optimiser step equals its twin") {
  if (has_gpus()) twice(check_adamw);
}

TEST_CASE("flash attention over packed sequences equals the plain twin, gradients too") {
  if (has_gpus()) twice(check_flash_attention);
}

TEST_CASE("flash attention of spans that share prompts equals the plain twin, gradients too") {
  if (has_gpus()) twice(check_flash_attention_in_trees);
}

TEST_CASE("on the GPU an attention plan that takes over another gives what the other gives") {
  if (has_gpus()) check_flash_plan_taken_over(gpu());
}

TEST_CASE("dropout masks have the same bits on the GPU and on the CPU") {
  if (!has_gpus()) return;
  const Results expected = dropout_masks(at::kCPU);
  twice([&](at::Device device) {
    Results results = dropout_masks(device);
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(same_bits(results[i].to(at::kCPU), expected[i]));
    return results;
  });
}
