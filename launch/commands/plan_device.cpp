#include "launch/commands/plan_device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/model/device.hpp"
#include "core/training/memory_estimate.hpp"
#include "distributed/gpu_cards.hpp"
#include "launch/recipe/scalars.hpp"

namespace chorale {
namespace {

PlanDevice of_card(const GpuCard& card, BaseDtype dtype) {
  const bool is_float32 = dtype == BaseDtype::float32;
  PlanDevice device;
  device.words = card.words;
  device.memory_bytes = card.memory_bytes;
  device.flops_per_second = is_float32 ? card.float32_flops : card.bfloat16_flops;
  device.flops_source = is_float32 ? "dense float32" : "dense bfloat16";
  device.node_bytes_per_second = card.nvlink;
  device.network_bytes_per_second = card.network;
  device.bytes_source = "NVLink inside a node, one network adapter per GPU between nodes";
  return device;
}

// Two fused multiply-adds a cycle on vectors as wide as this machine's; clocks differ from moment to moment, and few
// server processors run faster than this.
PlanDevice of_processors(std::int64_t ranks_on_node) {
  constexpr double kClock = 4e9;
  const int lanes = __builtin_cpu_supports("avx512f") != 0 ? 16 : __builtin_cpu_supports("avx2") != 0 ? 8 : 4;
  const auto cores = static_cast<double>(std::max(1U, std::thread::hardware_concurrency()));
  PlanDevice device;
  device.is_cpu = true;
  device.words = "a machine like this one";
  device.memory_bytes = physical_memory();
  device.flops_per_second = cores / static_cast<double>(ranks_on_node) * kClock * 4.0 * lanes;
  device.flops_source =
      fmt::format("{:.3g} cores x 4 GHz x {} operations", cores / static_cast<double>(ranks_on_node), 4 * lanes);
  device.node_bytes_per_second = 20e9;
  device.network_bytes_per_second = 12.5e9;
  device.bytes_source = "memory inside a machine, 100 Gb/s Ethernet between machines";
  return device;
}

PlanDevice of_gpus(const std::string& wish) {
  PlanDevice device;
  try {
    device.memory_bytes = gpu_memory(choose_device("cuda"));
    device.words = "a GPU like this machine's";
  } catch (const UsageError&) {  // plans are also made where there is none
    device.words = "a GPU of unknown size (name it: --device h100)";
  }
  device.name = wish;
  return device;
}

PlanDevice of_name(const std::string& wish, BaseDtype dtype, std::int64_t ranks_on_node) {
  if (wish == "cpu") return of_processors(ranks_on_node);
  if (wish == "cuda") return of_gpus(wish);
  if (wish == "auto") return choose_device("auto").is_cpu() ? of_processors(ranks_on_node) : of_gpus(wish);
  for (const GpuCard& card : kGpuCards) {
    if (card.name == wish) return of_card(card, dtype);
  }
  const std::optional<std::uint64_t> bytes = recipe::parse_bytes(wish);
  if (!bytes || *bytes == 0) {
    throw UsageError(fmt::format(
        "--device: {} is not known. Give auto, cpu, cuda, h100, h200, a100, or the bytes of a device, e.g. 24GiB.",
        printable(wish)));
  }
  PlanDevice device;
  device.words = fmt::format("a device of {}", wish);
  device.memory_bytes = *bytes;
  return device;
}

}  // namespace

PlanDevice plan_device(const std::string& wish, BaseDtype dtype, std::int64_t ranks_on_node, const PlanSpeeds& speeds) {
  PlanDevice device = of_name(wish, dtype, ranks_on_node);
  device.name = wish;
  if (speeds.teraflops) {
    device.flops_per_second = *speeds.teraflops * 1e12;
    device.flops_source = "as given";
  }
  if (speeds.gigabytes) {
    device.node_bytes_per_second = device.network_bytes_per_second = *speeds.gigabytes * 1e9;
    device.bytes_source = "as given";
  }
  return device;
}

}  // namespace chorale
