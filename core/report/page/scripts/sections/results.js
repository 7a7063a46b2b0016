// The result of one run on one set: a tile per metric, then the table of all rows.
const { el } = require("dom");
const { table } = require("table");
const { term } = require("tooltip");
const { intervals } = require("charts/intervals");
const { card, grid, section, setLabel } = require("sections/parts");
const words = require("words");
const format = require("format");

function visibleRows(run, dataset) {
  const several = run.members > 1;
  return words.rows.filter((row) => words.rowOf(dataset, row.key) && (several || !row.key.startsWith("ensemble")))
    .map((row) => Object.assign({}, row, several ? {} : { title: row.scaled ? "model + temperature" : "model",
      short: row.scaled ? "model + T" : "model" }));
}

// By how much the ensemble moves the members' mean.
function comparison(dataset, metric) {
  const base = words.rowOf(dataset, "members_mean")[metric.key];
  const ends = words.intervalOf(dataset, "change", metric.key);
  const value = dataset.ensemble[metric.key];
  if (typeof base !== "number" || typeof value !== "number") return null;
  const change = value - base;
  const settled = ends && ends[0] !== null && ends[1] !== null && (ends[0] > 0 || ends[1] < 0);
  const good = change * metric.better > 0;
  const digits = metric.key === "accuracy" ? format.fixed(100 * Math.abs(change), 1) + " points" : format.nats(Math.abs(change));
  return el("p", { class: "tile-change" },
    el("span", { class: !settled ? "change" : good ? "change better" : "change worse" },
      (change >= 0 ? "▲ " : "▼ ") + digits),
    " from the members' mean, " + format.metric(words.rowOf(dataset, "members_mean"), metric.key),
    settled || !ends ? null : el("span", { class: "muted" }, " (may be chance)"));
}

function tile(run, dataset, metric) {
  const rows = visibleRows(run, dataset);
  const main = rows.some((row) => row.key === "ensemble") ? "ensemble" : "members_mean";
  const items = rows.map((row) => ({
    label: row.short, color: row.color, hollow: row.scaled, value: words.rowOf(dataset, row.key)[metric.key],
    ends: words.intervalOf(dataset, row.key, metric.key), text: format.metric(words.rowOf(dataset, row.key), metric.key),
  }));
  return el("div", { class: "card tile" },
    el("h3", null, term(metric.title, metric.help)),
    el("p", { class: "tile-value" }, format.metric(words.rowOf(dataset, main), metric.key),
      el("span", { class: "tile-interval" }, format.interval(words.intervalOf(dataset, main, metric.key), metric.key))),
    main === "ensemble" ? comparison(dataset, metric) : null,
    intervals("interval-" + metric.key, metric, items));
}

function cell(dataset, row, metric) {
  const values = words.rowOf(dataset, row.key);
  const spread = row.key === "members_mean" && dataset.members.std ? dataset.members.std[metric.key] : null;
  const ends = format.interval(words.intervalOf(dataset, row.key, metric.key), metric.key);
  return el("span", null, format.metric(values, metric.key),
    typeof spread === "number" ? el("span", { class: "muted spread" }, " ± " + (metric.key === "accuracy" ? format.fixed(100 * spread, 1) : format.metric({ spread }, "spread"))) : null,
    ends ? el("span", { class: "below" }, ends) : null);
}

function mainTable(run, dataset) {
  const rows = visibleRows(run, dataset);
  const metrics = dataset.tokens !== undefined ? words.tokenMetrics : words.metrics;
  const columns = [{
    title: "row", text: true, value: (row) => row.title,
    show: (row) => el("span", null, el("span", { class: row.scaled ? "key hollow" : "key dot", style: { "--key": row.color } }), el("span", { class: "long" }, term(row.title, row.help)), el("span", { class: "short" }, term(row.short, row.help))),
  }, ...metrics.map((metric) => ({
    title: metric.title, value: (row) => words.rowOf(dataset, row.key)[metric.key], show: (row) => cell(dataset, row, metric),
  }))];
  if (rows.some((row) => typeof words.rowOf(dataset, row.key).temperature === "number")) {
    columns.push({ title: "T", minor: true, help: "The temperature; of single members the mean of theirs.",
      value: (row) => words.rowOf(dataset, row.key).temperature,
      show: (row) => format.fixed(words.rowOf(dataset, row.key).temperature, 2) });
  }
  const best = new Map(metrics.map((metric) => [metric.title, Math.max(...rows.map((row) =>
    metric.better * (words.rowOf(dataset, row.key)[metric.key] ?? -metric.better * Infinity)))]));
  return table(columns, rows, {
    class: "compact",
    mark: (row, column) => {
      const metric = metrics.find((one) => one.title === column.title);
      return metric && rows.length > 1 && metric.better * words.rowOf(dataset, row.key)[metric.key] === best.get(metric.title) ? "best" : "";
    },
  });
}

function counts(dataset) {
  const parts = [format.count(dataset.examples) + " examples"];
  if (dataset.labelled !== undefined && dataset.labelled !== dataset.examples) parts.push(format.count(dataset.labelled) + " labelled");
  if (dataset.choices) parts.push(dataset.choices + " choices");
  if (dataset.tokens !== undefined) parts.push(format.count(dataset.tokens) + " answer tokens");
  return parts.join(", ");
}

exports.results = function (run, set) {
  const dataset = run.metrics.datasets[set];
  const lead = "Numbers on the " + setLabel(set) + " (" + counts(dataset) + ")" +
    (dataset.intervals ? ", with 95 % bootstrap intervals; the interval of a change is paired." : ".") +
    (set === "validation" ? " Temperatures were fitted on this very set." : "");
  if (!dataset.members) {
    return section("results", "Result", lead, card(el("p", null,
      "Without labels there is no accuracy or calibration; mean entropy ",
      el("strong", null, format.nats(dataset.uncertainty.total)), " nats, mutual information ",
      el("strong", null, format.nats(dataset.uncertainty.epistemic)), " nats.")));
  }
  const tiles = dataset.tokens !== undefined ? null : grid(4, words.metrics.map((metric) => tile(run, dataset, metric)));
  return section("results", "Result", lead, tiles, card(mainTable(run, dataset)));
};
