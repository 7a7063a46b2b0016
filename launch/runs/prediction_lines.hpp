// Predictions of an ensemble as text that people and programs read: JSON lines, or CSV.
#pragma once

#include <optional>
#include <string>

#include "core/data/task.hpp"
#include "core/ensemble/predictions.hpp"

namespace chorale {

/// One object a line and example, in the set's order:
///   id, prediction (index of the likeliest choice), option (its text), confidence (its probability), probabilities [K]
///   (mean over members), uncertainty {total, aleatoric, epistemic} in nats, members [M][K], label where the record has
///   one, and with `temperature` (fitted to the ensemble on validation data) calibrated {temperature, confidence,
///   probabilities}.
/// K is the record's own number of options.
[[nodiscard]] std::string prediction_lines(const Predictions& predictions, const ExampleSet& set,
                                           std::optional<double> temperature);

/// The same numbers as CSV with a header line, K the largest of the set and a field empty where an option is missing:
/// id, label, prediction, option, confidence, total, aleatoric, epistemic, p0..., with a temperature calibrated_0...,
/// and member_0_p0...
[[nodiscard]] std::string prediction_csv(const Predictions& predictions, const ExampleSet& set,
                                         std::optional<double> temperature);

}  // namespace chorale
