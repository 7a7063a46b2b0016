// Training and validation curves over steps: members thin, what they make together thick.
const { chart } = require("chart");
const { table } = require("table");
const { linear, extent, xAxis, yAxis, line, points, targets } = require("plot");
const format = require("format");

// From the first to the last step; around the only one.
function domain(steps) {
  const first = Math.min(...steps);
  const last = Math.max(...steps);
  return steps.length === 0 ? [0, 1] : first === last ? [first - 1, last + 1] : [first, last];
}

// series: [{label, color, width, opacity, dash, steps, values}].
exports.curves = function (id, title, series, options = {}) {
  const show = options.percent ? format.percent : format.nats;
  const drawn = series.filter((one) => one.values.some((value) => typeof value === "number"));
  const data = drawn.map((one, i) => ({
    name: "curve" + i,
    values: one.steps.map((step, j) => ({
      step, value: one.values[j], tip: { title: one.label, rows: [["step", format.count(step)], [title, show(one.values[j])]] },
    })).filter((entry) => typeof entry.value === "number"),
  }));
  const steps = drawn.flatMap((one) => one.steps);
  const single = new Set(steps).size === 1;
  const few = Math.max(0, ...drawn.map((one) => one.steps.length)) <= 12;
  const rows = () => drawn.flatMap((one) => one.steps.map((step, j) => ({ label: one.label, step, value: one.values[j] })));
  return chart({
    id, title, help: options.help, height: options.height || 220, legend: options.legend,
    label: title + " over training steps, " + drawn.length + " curves",
    numbers: () => table([
      { title: "curve", text: true, value: (row) => row.label, show: (row) => row.label },
      { title: "step", value: (row) => row.step, show: (row) => format.count(row.step) },
      { title, value: (row) => row.value, show: (row) => show(row.value) },
    ], rows()),
    spec: () => ({
      data,
      scales: [linear("x", "width", domain(steps)),
        linear("y", "height", extent(data.flatMap((set) => set.values.map((entry) => entry.value))))],
      axes: [xAxis({ title: "step", format: "~s", tickMinStep: 1 }), yAxis({ format: options.percent ? ".0%" : ".3~f" })],
      marks: drawn.flatMap((one, i) => [
        line("curve" + i, "step", "value", one),
        few ? points("curve" + i, "step", "value", { color: one.color, size: one.width > 1.5 ? 44 : single ? 40 : 18, opacity: one.opacity }) : null,
        targets("curve" + i, "step", "value"),
      ]).filter((mark) => mark),
    }),
  });
};
