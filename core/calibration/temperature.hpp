// Temperature scaling: one number that makes a model's confidence fit, found on validation data.
// Guo, Pleiss, Sun, Weinberger: "On calibration of modern neural networks", ICML 2017.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "core/ensemble/prediction_table.hpp"

namespace chorale {

/// Bounds of a fitted temperature. They are reached only where no minimum exists inside: labels separated perfectly
/// (every example's label is its top choice, and by sharpening the NLL falls for ever) or labels worse than guessing
/// (flattening helps for ever).
inline constexpr double kLowestTemperature = 0.01;
inline constexpr double kHighestTemperature = 1000.0;

/// The T that minimises the mean NLL of softmax(row / T) over the labelled examples. With inverse temperature b = 1/T
/// the NLL is convex and its derivative mean(E_p[z] - z_label) is monotone, so a Newton iteration on log T inside a
/// bracket finds the one zero; it stops when the derivative of the NLL with respect to log T is below 1e-12 or the
/// bracket has shrunk to rounding. Examples whose label has probability zero are left out (no temperature helps them).
/// Rows that are all uniform give 1. No usable example: nothing.
[[nodiscard]] std::optional<double> fit_temperature(const LogRows& rows, std::span<const std::int32_t> labels);

/// softmax(row / T) of every row, as log-probabilities.
[[nodiscard]] LogRows scale(const LogRows& rows, double temperature);

}  // namespace chorale
