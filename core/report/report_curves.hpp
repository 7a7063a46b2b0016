// Training and validation as log.jsonl tells of them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace chorale {

/// Points a training curve is thinned to: neighbours are averaged, so a long run's page stays small.
inline constexpr std::size_t kCurvePoints = 300;

/// The curves of the log at `path`, which may be missing, still being written, or hold lines this program does not
/// know:
///   training    {members: [{member, steps, loss}], mean: {steps, loss}, averaged: lines per point}
///   validation  {members: [{member, steps, nll, accuracy, ece}], pooled: {steps, nll, accuracy, ece}}
/// `mean` is the mean over the members that have a line at a step, `pooled` the ensemble where the log has it. A value
/// that is no number is null. Lists are empty where the log has nothing.
[[nodiscard]] nlohmann::json report_curves(const std::string& path);

}  // namespace chorale
