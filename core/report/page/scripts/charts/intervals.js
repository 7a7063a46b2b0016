// Dots with their 95 % intervals, one line each: rows of a result, or runs.
const { chart } = require("chart");
const { linear, extent, xAxis, rule } = require("plot");
const format = require("format");

// items: [{label, color, hollow, value, ends, text}]; metric: of words.js.
exports.intervals = function (id, metric, items, options = {}) {
  const shown = items.filter((item) => typeof item.value === "number");
  const values = shown.map((item) => ({
    label: item.label, color: item.color, value: item.value, hollow: item.hollow,
    low: item.ends && typeof item.ends[0] === "number" ? item.ends[0] : item.value,
    high: item.ends && typeof item.ends[1] === "number" ? item.ends[1] : item.value,
    tip: { title: item.label, rows: [[metric.title, item.text], ["95 % interval", format.interval(item.ends, metric.key) || "none"]] },
  }));
  const domain = extent(values.flatMap((value) => [value.low, value.high]));
  const color = { field: "color" };
  const at = { y: { scale: "y", field: "label", band: 0.5 }, x: { scale: "x", field: "value" } };
  return chart({
    id, height: 22 * values.length + 26, title: options.title, help: options.help,
    label: metric.title + ": " + items.map((item) => item.label + " " + item.text).join(", "),
    spec: () => ({
      data: [{ name: "rows", values }],
      scales: [
        linear("x", "width", domain),
        { name: "y", type: "band", range: "height", domain: values.map((value) => value.label) },
      ],
      axes: [
        xAxis({ tickCount: 3, grid: true, format: metric.key === "accuracy" ? ".0%" : "~g" }),
        { orient: "left", scale: "y", labelColor: "var(--ink)", labelPadding: 8 },
      ],
      marks: [
        Object.assign({ from: { data: "rows" } }, rule({
          y: at.y, x: { scale: "x", field: "low" }, x2: { scale: "x", field: "high" }, stroke: color,
          strokeWidth: { value: 5 }, strokeOpacity: { value: 0.28 }, strokeCap: { value: "round" },
        })),
        { type: "symbol", from: { data: "rows" }, encode: { update: {
          x: at.x, y: at.y, size: { value: 74 }, stroke: color, strokeWidth: { value: 2 },
          fill: [{ test: "datum.hollow", value: "var(--card)" }, color], tooltip: { field: "tip" },
        } } },
        { type: "rect", from: { data: "rows" }, encode: { update: {
          x: { value: 0 }, width: { signal: "width" }, y: { scale: "y", field: "label" },
          height: { scale: "y", band: 1 }, fill: { value: "transparent" }, tooltip: { field: "tip" },
        } } },
      ],
    }),
  });
};
