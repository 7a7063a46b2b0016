// The members one by one, and which of them choose alike.
const { el } = require("dom");
const { table } = require("table");
const { matrix } = require("charts/matrix");
const { card, grid, section } = require("sections/parts");
const words = require("words");
const format = require("format");

function memberTable(run, dataset) {
  const states = (run.metrics.training && run.metrics.training.members) || [];
  const metrics = dataset.tokens !== undefined ? words.tokenMetrics : words.metrics;
  const columns = [{ title: "member", value: (row) => row.member, show: (row) => String(row.member) },
    ...metrics.map((metric) => ({ title: metric.title, value: (row) => row.values[metric.key],
      show: (row) => format.metric(row.values, metric.key) }))];
  if (states.some((state) => state.diverged || typeof state.stopped_at === "number")) {
    columns.push({ title: "end", text: true, value: (row) => ending(row.state), show: (row) => ending(row.state) });
  }
  return table(columns, dataset.members.each.map((values, member) => ({ member, values, state: states[member] || {} })));
}

function ending(state) {
  if (state.diverged) return "diverged";
  if (typeof state.stopped_at === "number") return "stopped at step " + state.stopped_at;
  return "trained to the end";
}

exports.members = function (run, set) {
  if (run.members < 2 || !run.metrics.datasets[set]) return null;
  const dataset = run.metrics.datasets[set];
  const shares = run.charts[set] && run.charts[set].disagreement;
  if (!shares && !dataset.members) return null;
  return section("members", "Do the members differ?",
    "An ensemble gains only where its members err differently." +
    (typeof dataset.disagreement === "number" ? " Here " + format.percent(dataset.disagreement) + " of pairs of members choose differently on an example." : ""),
    grid(shares ? 2 : 1,
      shares ? card(el("h3", null, "Share of examples on which two members choose differently"),
        el("div", { class: "square" }, matrix("matrix", shares))) : null,
      dataset.members ? card(el("h3", null, "Members one by one"), memberTable(run, dataset)) : null));
};
