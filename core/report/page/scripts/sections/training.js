// How the members learned.
const { legend } = require("controls");
const { curves } = require("charts/curves");
const { card, grid, section } = require("sections/parts");
const words = require("words");

function memberSeries(list, key, several) {
  return list.map((curve) => ({
    label: "member " + curve.member, steps: curve.steps, values: curve[key] || [],
    color: several ? "var(--member)" : "var(--single)", width: several ? 1.2 : 2, opacity: several ? 0.75 : 1,
  }));
}

exports.training = function (run) {
  const { training, validation } = run.curves;
  if (training.members.length === 0 && validation.members.length === 0) return null;
  const several = run.members > 1;
  const loss = memberSeries(training.members, "loss", several);
  if (several) {
    loss.push({ label: "mean of the members", steps: training.mean.steps, values: training.mean.loss, color: "var(--single)", width: 2.4 });
  }
  const keys = legend([
    several ? { kind: "line", color: "var(--member)", label: "one member" } : null,
    { kind: "line", color: "var(--single)", label: several ? "members' mean" : "model" },
    several && validation.pooled.steps.length ? { kind: "line", color: "var(--ensemble)", label: "ensemble" } : null,
  ].filter((item) => item));
  const charts = [card(curves("training-loss", "Training loss", loss, {
    help: "Mean loss since the line before, as the log has it." }))];
  for (const metric of words.metrics.filter((one) => one.key !== "brier")) {
    const series = memberSeries(validation.members, metric.key, several);
    if (!series.some((one) => one.values.some((value) => typeof value === "number"))) continue;
    if (several) series.push(Object.assign({ label: "mean of the members", color: "var(--single)", width: 2.2 }, meanOf(validation.members, metric.key)));
    if (several && validation.pooled.steps.length) {
      series.push({ label: "ensemble", steps: validation.pooled.steps, values: validation.pooled[metric.key], color: "var(--ensemble)", width: 2.4 });
    }
    charts.push(card(curves("validation-" + metric.key, "Validation " + (metric.key === "accuracy" ? "accuracy" : metric.title), series,
      { percent: metric.key === "accuracy", help: metric.help })));
  }
  const thinned = training.averaged > 1 ? " Each point of the loss is the mean of " + training.averaged + " lines of the log." : "";
  return section("training", "How the members learned", "From log.jsonl." + thinned,
    keys, grid(Math.min(4, charts.length), charts));
};

// The mean over the members that have a value at a step.
function meanOf(members, key) {
  const sums = new Map();
  for (const curve of members) {
    curve.steps.forEach((step, i) => {
      if (typeof curve[key][i] !== "number") return;
      const sum = sums.get(step) || [0, 0];
      sums.set(step, [sum[0] + curve[key][i], sum[1] + 1]);
    });
  }
  const steps = [...sums.keys()].sort((a, b) => a - b);
  return { steps, values: steps.map((step) => sums.get(step)[0] / sums.get(step)[1]) };
}
