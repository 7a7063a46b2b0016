// What things are called, which colour they have everywhere, and what they mean.

// Single models are orange, the ensemble is blue; a temperature makes the ring hollow and the line dashed.
exports.rows = [
  { key: "members_mean", title: "members' mean", short: "member", color: "var(--single)", scaled: false,
    help: "What one member alone gives on average: the mean over the members of each one's own number." },
  { key: "single_temperature_scaled", title: "single + temperature", short: "member + T", color: "var(--single)",
    scaled: true, help: "The mean over members, each with a temperature fitted on the validation set." },
  { key: "ensemble", title: "ensemble", short: "ensemble", color: "var(--ensemble)", scaled: false,
    help: "The mean of the members' probabilities." },
  { key: "ensemble_temperature_scaled", title: "ensemble + temperature", short: "ensemble + T",
    color: "var(--ensemble)", scaled: true,
    help: "The ensemble's probabilities with one temperature fitted on the validation set." },
];

exports.metrics = [
  { key: "accuracy", title: "Accuracy", better: 1,
    help: "Share of examples whose most probable choice is the right one. Higher is better." },
  { key: "nll", title: "NLL", better: -1,
    help: "Negative log-likelihood: mean of −log of the right choice's probability, in nats. Lower is better; certainty about something wrong costs most." },
  { key: "brier", title: "Brier", better: -1,
    help: "Mean of the summed squared distance between the probabilities and the right answer, from 0 to 2. Lower is better." },
  { key: "ece", title: "ECE", better: -1,
    help: "Expected calibration error: the gap between confidence and accuracy, bin by bin, weighted by the bins' counts. Lower is better." },
];

exports.tokenMetrics = [
  { key: "nll", title: "NLL per token", better: -1,
    help: "Mean of −log of the right token's probability, in nats. Lower is better." },
  { key: "perplexity", title: "Perplexity", better: -1,
    help: "exp of the NLL per token: among how many equally likely tokens the model hesitates. Lower is better." },
];

// One row of a data set's object in metrics.json.
exports.rowOf = function (dataset, key) {
  if (!dataset) return null;
  return key === "members_mean" ? dataset.members && dataset.members.mean : dataset[key];
};

exports.intervalOf = function (dataset, row, metric) {
  return dataset && dataset.intervals && dataset.intervals[row] ? dataset.intervals[row][metric] : null;
};

exports.definitions = [
  ["Confidence", "The largest probability of a row: what the model says its own answer is worth."],
  ["Accuracy", "Share of examples whose largest probability is at the right choice; ties go to the first choice."],
  ["NLL", "Mean of −log p(right choice), in nats, never clamped. Infinite when a right choice had probability zero."],
  ["Brier score", "Mean of the sum over choices of (p − 1 if right, else p)², from 0 to 2 (Brier 1950). Other libraries divide it by the number of choices or by two."],
  ["ECE", "Expected calibration error: over bins of equal width, the distance between accuracy and mean confidence, weighted by the share of examples in the bin (Naeini et al. 2015, Guo et al. 2017)."],
  ["MCE", "The largest such distance of any bin."],
  ["Members' mean", "The mean over the members of each one's own number: what training one adapter would give on average."],
  ["Ensemble", "The mean of the members' probabilities, example by example."],
  ["Temperature", "One number T that log-probabilities are divided by before they are normalised again, chosen to minimise the NLL on the validation set. Above 1 it makes a model less sure."],
  ["95 % interval", "Between the 2.5 % and 97.5 % points of the same number over resampled test sets (bootstrap over examples; for ECE and MCE centred on the measured value)."],
  ["Band of a bin", "95 % of the resampled accuracies of that bin. Bins of fewer than five examples have none."],
  ["Entropy (total uncertainty)", "Entropy of the ensemble's probabilities, in nats: 0 for certainty, log K for a guess among K choices."],
  ["Mutual information (epistemic uncertainty)", "The part of the entropy that comes from members contradicting each other; more data could remove it. The rest, the members' own mean entropy, is aleatoric."],
  ["Disagreement", "Share of pairs of members whose most probable choices differ."],
  ["AUROC against test", "Probability that an example of the shifted set scores higher than one of the test set: 0.5 is chance, 1 tells them apart perfectly."],
  ["Ensembles of m members", "For every m the mean over all subsets of m members, or over 100 random ones where there are more; the band is ± one standard deviation over the subsets."],
  ["Perplexity", "exp of the NLL per token."],
];
