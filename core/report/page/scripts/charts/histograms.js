// Two sets' uncertainty in one histogram, as shares of each set: the test set filled, the other as an outline.
const { chart } = require("chart");
const { table } = require("table");
const { linear, xAxis, yAxis } = require("plot");
const format = require("format");

// first and second: {label, color, counts}; second may be missing. top: the upper end of the last bin.
exports.histograms = function (id, title, help, top, first, second) {
  const total = (one) => Math.max(1, one.counts.reduce((sum, count) => sum + count, 0));
  const width = top / first.counts.length;
  const bins = first.counts.map((count, i) => {
    const bin = { low: i * width, high: (i + 1) * width, first: count / total(first), firstCount: count };
    const rows = [[first.label, format.percent(bin.first) + ", " + format.count(count)]];
    if (second) {
      bin.second = second.counts[i] / total(second);
      bin.secondCount = second.counts[i];
      rows.push([second.label, format.percent(bin.second) + ", " + format.count(bin.secondCount)]);
    }
    bin.tip = { title: format.nats(bin.low) + " to " + format.nats(bin.high) + " nats", rows };
    return bin;
  });
  const most = Math.max(...bins.flatMap((bin) => [bin.first, bin.second || 0])) || 1;
  const outline = bins.flatMap((bin) => [{ x: bin.low, y: bin.second }, { x: bin.high, y: bin.second }]);
  return chart({
    id, title, help, height: 210,
    label: title + " of " + first.label + (second ? " and " + second.label : "") + ", as a histogram",
    numbers: () => table([
      { title: "nats", value: (bin) => bin.low, show: (bin) => format.nats(bin.low) + "–" + format.nats(bin.high) },
      { title: first.label, value: (bin) => bin.firstCount, show: (bin) => format.count(bin.firstCount) },
      second ? { title: second.label, value: (bin) => bin.secondCount, show: (bin) => format.count(bin.secondCount) } : null,
    ].filter((column) => column), bins),
    spec: () => ({
      data: [{ name: "bins", values: bins }, { name: "outline", values: second ? outline : [] }],
      scales: [linear("x", "width", [0, top]), linear("y", "height", [0, most])],
      axes: [xAxis({ title: "nats" }), yAxis({ format: ".0%", title: "share of the set" })],
      marks: [
        { type: "rect", from: { data: "bins" }, interactive: false, encode: { update: {
          x: { scale: "x", field: "low", offset: 0.5 }, x2: { scale: "x", field: "high", offset: -0.5 },
          y: { scale: "y", field: "first" }, y2: { signal: "height" }, fill: { value: first.color },
          fillOpacity: { value: 0.55 },
        } } },
        { type: "line", from: { data: "outline" }, interactive: false, encode: { update: {
          x: { scale: "x", field: "x" }, y: { scale: "y", field: "y" },
          stroke: { value: second ? second.color : "transparent" }, strokeWidth: { value: 2 },
        } } },
        { type: "rect", from: { data: "bins" }, encode: { update: {
          x: { scale: "x", field: "low" }, x2: { scale: "x", field: "high" }, y: { value: 0 }, y2: { signal: "height" },
          fill: { value: "transparent" }, tooltip: { field: "tip" },
        } } },
      ],
    }),
  });
};
