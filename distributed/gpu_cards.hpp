// What NVIDIA says of cards that models are trained on.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace chorale {

/// Dense peaks without sparsity and both directions of NVLink halved, from NVIDIA's data sheets of the SXM modules; the
/// network is the one adapter a GPU of NVIDIA's own DGX machines has. Memory is what CUDA reports, rounded down.
struct GpuCard {
  std::string_view name;         // for the command line
  std::string_view driver_name;  // GpuFacts::name; other modules of the family have other names and other speeds
  std::string_view words;        // for people
  std::uint64_t memory_bytes;
  double float32_flops;  // per second; without TF32, which torch leaves off
  double bfloat16_flops;
  double nvlink;  // bytes per second
  double network;
};

inline constexpr std::uint64_t kGibibyte = std::uint64_t{1} << 30;
inline constexpr std::array<GpuCard, 3> kGpuCards = {{
    {"h100", "NVIDIA H100 80GB HBM3", "an H100 (SXM5, 80 GB)", 79 * kGibibyte, 66.9e12, 989.4e12, 450e9, 50e9},
    {"h200", "NVIDIA H200", "an H200 (141 GB)", 139 * kGibibyte, 66.9e12, 989.4e12, 450e9, 50e9},
    {"a100", "NVIDIA A100-SXM4-80GB", "an A100 (SXM4, 80 GB)", 79 * kGibibyte, 19.5e12, 312e12, 300e9, 25e9},
}};

}  // namespace chorale
