// A metric against the number of members.
const { chart } = require("chart");
const { table } = require("table");
const { linear, extent, xAxis, yAxis, line, points, targets } = require("plot");
const format = require("format");

function show(metric, value) {
  return metric.key === "accuracy" ? format.percent(value) : format.nats(value);
}

function point(metric, one, entry) {
  const [mean, deviation] = entry[metric.key];
  const ensembles = entry.subsets === 1 ? "one ensemble"
    : entry.all ? "all " + entry.subsets + " ensembles" : entry.subsets + " random ensembles";
  return {
    m: entry.members, mean, deviation, low: mean === null ? null : mean - (deviation || 0),
    high: mean === null ? null : mean + (deviation || 0),
    tip: {
      title: (one.label ? one.label + ", " : "") + entry.members + (entry.members === 1 ? " member" : " members"),
      rows: [[metric.title, show(metric, mean)], ["± over subsets", show(metric, deviation)], ["mean of", ensembles]],
    },
  };
}

function numbers(metric, series) {
  const rows = series.flatMap((one) => one.counts.map((entry) => ({ one, entry })));
  return table([
    { title: "members", value: (row) => row.entry.members,
      show: (row) => (series.length > 1 ? row.one.label + ", " : "") + row.entry.members },
    { title: metric.title, value: (row) => row.entry[metric.key][0], show: (row) => show(metric, row.entry[metric.key][0]) },
    { title: "±", value: (row) => row.entry[metric.key][1], show: (row) => show(metric, row.entry[metric.key][1]) },
    { title: "subsets", value: (row) => row.entry.subsets, show: (row) => format.count(row.entry.subsets) },
  ], rows);
}

// series: [{label, color, counts, first: colour of the point at m = 1}].
exports.memberCounts = function (id, metric, series, options = {}) {
  const data = series.map((one, i) => ({ name: "counts" + i, values: one.counts.map((entry) => point(metric, one, entry)) }));
  const all = data.flatMap((set) => set.values);
  const most = Math.max(2, ...all.map((entry) => entry.m));
  const ticks = Array.from({ length: most }, (_, i) => i + 1).filter((m) => most <= 10 || m === 1 || m % Math.ceil(most / 8) === 0);
  return chart({
    id, title: options.title || metric.title, help: metric.help, height: options.height || 190,
    label: metric.title + " against the number of members: " + all.map((entry) => entry.m + ": " + show(metric, entry.mean)).join(", "),
    numbers: () => numbers(metric, series),
    spec: () => ({
      data,
      scales: [linear("x", "width", [0.8, most + 0.2]),
        linear("y", "height", extent(all.flatMap((entry) => [entry.low, entry.high])))],
      axes: [
        xAxis({ values: ticks, format: "d", title: "members" }),
        yAxis({ format: metric.key === "accuracy" ? ".1%" : ".3~f" }),
      ],
      marks: series.flatMap((one, i) => [
        { type: "area", interactive: false, from: { data: "counts" + i }, encode: { update: {
          x: { scale: "x", field: "m" }, y: { scale: "y", field: "low" }, y2: { scale: "y", field: "high" },
          fill: { value: one.color }, fillOpacity: { value: series.length > 1 ? 0.08 : 0.15 },
          defined: { signal: "isValid(datum.mean)" },
        } } },
        line("counts" + i, "m", "mean", { color: one.color }),
        points("counts" + i, "m", "mean", { color: one.color }),
        one.first ? { type: "symbol", from: { data: "counts" + i }, encode: { update: {
          x: { scale: "x", field: "m" }, y: { scale: "y", field: "mean" }, size: { signal: "datum.m === 1 ? 60 : 0" },
          fill: { value: one.first },
        } } } : null,
        targets("counts" + i, "m", "mean"),
      ]).filter((mark) => mark),
    }),
  });
};
