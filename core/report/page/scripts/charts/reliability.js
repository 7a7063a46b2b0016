// Reliability diagrams: accuracy over confidence by bin with bands, and the bins' counts below.
const { chart } = require("chart");
const { table } = require("table");
const { linear, rule } = require("plot");
const format = require("format");

const countsHeight = 46;

function tip(name, bin) {
  return {
    title: (name ? name + ", c" : "C") + "onfidence " + format.fixed(bin.low, 2) + " to " + format.fixed(bin.high, 2),
    rows: [
      ["mean confidence", format.percent(bin.confidence)], ["accuracy", format.percent(bin.accuracy)],
      ["95 % of resamples", bin.band ? format.interval(bin.band, "accuracy") + " %" : "too few examples"],
      ["gap", format.nats(bin.gap)], ["examples", format.count(bin.count)],
    ],
  };
}

const largest = (bins) => Math.max(1, ...bins.map((bin) => bin.count));

function numbers(series) {
  const rows = series.flatMap((one) => one.bins.map((bin) => ({ name: one.label, bin })));
  const column = (title, key, show) => ({ title, value: (row) => row.bin[key], show: (row) => show(row.bin[key]) });
  return table([
    { title: "bin", text: true, value: (row) => row.bin.low,
      show: (row) => (series.length > 1 ? row.name + " " : "") + format.fixed(row.bin.low, 2) + "–" + format.fixed(row.bin.high, 2) },
    column("examples", "count", format.count), column("confidence", "confidence", format.percent),
    column("accuracy", "accuracy", format.percent), column("gap", "gap", format.nats),
    { title: "95 % band", value: (row) => (row.bin.band ? row.bin.band[0] : null),
      show: (row) => format.interval(row.bin.band, "accuracy") || format.dash },
  ], rows);
}

function diagramMarks(series) {
  const at = { x: { scale: "x", field: "confidence" } };
  return series.flatMap((one, i) => {
    const data = { from: { data: "bins" + i } };
    const color = { value: one.color };
    return [
      Object.assign({}, data, rule({
        x: at.x, y: { scale: "y", field: "bandLow" }, y2: { scale: "y", field: "bandHigh" }, stroke: color,
        strokeWidth: { value: 7 }, strokeCap: { value: "round" },
        strokeOpacity: { signal: "datum.bandLow === datum.bandHigh ? 0 : 0.22" },
      })),
      series.length > 1 ? null : Object.assign({}, data, rule({
        x: at.x, y: { scale: "y", field: "accuracy" }, y2: { scale: "y", field: "confidence" },
        stroke: color, strokeWidth: { value: 1 }, strokeDash: { value: [2, 2] },
      })),
      { type: "line", interactive: false, from: data.from, encode: { update: {
        x: at.x, y: { scale: "y", field: "accuracy" }, stroke: color, strokeWidth: { value: 1.5 },
        strokeDash: { value: one.dash || [] }, strokeOpacity: { value: 0.55 },
      } } },
      { type: "symbol", from: data.from, encode: { update: {
        x: at.x, y: { scale: "y", field: "accuracy" }, size: { field: "size" }, stroke: color, strokeWidth: { value: 2 },
        fill: { value: one.hollow ? "var(--card)" : one.color }, tooltip: { field: "tip" },
      } } },
      { type: "symbol", from: data.from, encode: { update: {
        x: at.x, y: { scale: "y", field: "accuracy" }, size: { value: 300 }, fill: { value: "transparent" },
        tooltip: { field: "tip" },
      } } },
    ];
  }).filter((mark) => mark);
}

// series: [{label, color, hollow, dash, bins}], one or several in the same diagram.
exports.reliability = function (id, title, series, options = {}) {
  const several = series.length > 1;
  const data = series.map((one, i) => ({
    name: "bins" + i,
    values: one.bins.map((bin) => Object.assign({}, bin, {
      size: 14 + 76 * Math.sqrt(bin.count / largest(one.bins)),  // few examples, small point
      bandLow: bin.band ? bin.band[0] : bin.accuracy, bandHigh: bin.band ? bin.band[1] : bin.accuracy, tip: tip(several ? one.label : "", bin),
    })),
  }));
  const most = Math.max(1, ...series.flatMap((one) => one.bins.map((bin) => bin.count)));
  const group = (y, height, scales, axes, marks) => ({
    type: "group", encode: { update: { y, height, width: { signal: "width" } } }, scales, axes, marks,
  });
  return chart({
    id, title, aside: options.aside, help: options.help, height: options.height || 300, legend: options.legend,
    label: "Reliability diagram, " + series.map((one) => one.label).join(", ") + ". Accuracy over confidence.",
    numbers: () => numbers(series),
    spec: () => ({
      data,
      scales: [linear("x", "width", [0, 1])],
      marks: [
        group({ value: 0 }, { signal: "height - " + (several ? 0 : countsHeight + 22) },
          [linear("y", [{ signal: "height - " + (several ? 0 : countsHeight + 22) }, 0], [0, 1])],
          [
            { orient: "left", scale: "y", grid: true, values: [0, 0.25, 0.5, 0.75, 1], format: ".0%", title: "accuracy" },
            { orient: "bottom", scale: "x", grid: true, values: [0, 0.25, 0.5, 0.75, 1], labels: several, format: ".0%",
              title: several ? "confidence" : null },
          ],
          [rule({
            x: { value: 0 }, x2: { signal: "width" }, y: { scale: "y", value: 0 }, y2: { scale: "y", value: 1 },
            stroke: { value: "var(--muted)" }, strokeDash: { value: [4, 4] }, strokeWidth: { value: 1 },
          }), ...diagramMarks(series)]),
        several ? null : group({ signal: "height - " + countsHeight }, { value: countsHeight },
          [linear("n", [countsHeight, 0], [0, most])],
          [{ orient: "bottom", scale: "x", values: [0, 0.25, 0.5, 0.75, 1], format: ".0%", title: "confidence" }],
          [
            { type: "rect", from: { data: "bins0" }, encode: { update: {
              x: { scale: "x", field: "low", offset: 0.5 }, x2: { scale: "x", field: "high", offset: -0.5 },
              y: { scale: "n", field: "count" }, y2: { value: countsHeight }, fill: { value: series[0].color },
              fillOpacity: { value: 0.4 }, tooltip: { field: "tip" },
            } } },
            { type: "text", interactive: false, encode: { update: {
              x: { value: 3 }, y: { value: -4 }, text: { value: "examples, up to " + format.count(most) },
              fill: { value: "var(--muted)" }, fontSize: { value: 10 },
            } } },
          ]),
      ].filter((mark) => mark),
    }),
  });
};
