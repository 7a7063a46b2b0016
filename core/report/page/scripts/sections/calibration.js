// Is the confidence right? And what is another member worth?
const { legend } = require("controls");
const { reliability } = require("charts/reliability");
const { memberCounts } = require("charts/members");
const { card, grid, section } = require("sections/parts");
const words = require("words");
const format = require("format");

exports.calibration = function (run, set) {
  const diagrams = run.charts[set] && run.charts[set].reliability;
  if (!diagrams) return null;
  const dataset = run.metrics.datasets[set];
  const rows = words.rows.filter((row) => diagrams[row.key] && (run.members > 1 || !row.key.startsWith("ensemble")));
  const charts = rows.map((row) => {
    const values = words.rowOf(dataset, row.key);
    const title = run.members > 1 ? row.title : row.scaled ? "model + temperature" : "model";
    return card(reliability("reliability-" + row.key, title, [{
      label: title, color: row.color, hollow: row.scaled, dash: row.scaled ? [5, 3] : [], bins: diagrams[row.key],
    }], { aside: "ECE " + format.metric(values, "ece"), help: row.help }));
  });
  return section("calibration", "Is the confidence right?",
    "Each point is a bin of answers given with similar confidence. On the dashed line they are right as often as the model says; below it the model is too sure. Bands hold 95 % of resampled accuracies, bars count the examples in a bin" +
    (run.members > 1 ? " (for the members, on average)." : "."),
    grid(rows.length === 1 ? 2 : rows.length === 2 ? 2 : 4, charts));
};

exports.worth = function (run, set) {
  const counts = run.charts[set] && run.charts[set].members;
  if (!counts || counts.length < 2) return null;
  const sampled = counts.some((entry) => !entry.all);
  return section("worth", "What is another member worth?",
    "Ensembles of m of the " + run.members + " members, averaged over " +
    (sampled ? "all subsets of that size, or 100 random ones" : "all subsets of that size") +
    "; the band is ± one standard deviation over the subsets.",
    legend([{ color: "var(--single)", label: "members' mean" }, { color: "var(--ensemble)", label: "ensemble of m" }]),
    grid(4, words.metrics.map((metric) => card(memberCounts("count-" + metric.key, metric, [
      { label: "", color: "var(--ensemble)", first: "var(--single)", counts }])))));
};
