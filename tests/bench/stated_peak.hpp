// What a GPU's maker says of its products.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace chorale::bench {

/// bfloat16 operations per second of tensor cores, dense, by the data sheets of NVIDIA's GPUs; `name` as the driver
/// gives it. None for a GPU that is not listed: modules of one family differ (an H100 PCIe has 756e12).
[[nodiscard]] inline std::optional<double> stated_peak(std::string_view name) {
  struct Stated {
    std::string_view part;
    double operations;
  };
  constexpr std::array kStated = {Stated{"H200", 989.4e12}, Stated{"H100 80GB HBM3", 989.4e12},
                                  Stated{"H100 PCIe", 756e12}, Stated{"A100-SXM", 312e12}, Stated{"A100-PCIE", 312e12}};
  for (const Stated& stated : kStated) {
    if (name.find(stated.part) != std::string_view::npos) return stated.operations;
  }
  return std::nullopt;
}

}  // namespace chorale::bench
