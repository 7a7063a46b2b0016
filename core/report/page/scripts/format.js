// Numbers as people read them. null stands for what the program could not give as a number: an infinite NLL, or nothing.

const dash = "–";

function fixed(value, digits) {
  if (typeof value !== "number") return dash;
  return value.toFixed(digits).replace("-", "−");
}

exports.dash = dash;
exports.fixed = fixed;
exports.nats = (value) => fixed(value, 3);
exports.percent = (value) => (typeof value === "number" ? fixed(100 * value, 1) + "\u00a0%" : dash);
exports.count = (value) =>
  typeof value !== "number" ? dash : Number.isInteger(value) || value >= 100 ? Math.round(value).toLocaleString("en") : fixed(value, 1);
exports.seconds = (value) => (value >= 600 ? fixed(value / 60, 1) + " min" : fixed(value, 1) + " s");
exports.bytes = (value) => fixed(value * 1e-9, 2) + " GB";

// The number of a metric; an NLL without one is infinite where the row says so.
exports.metric = function (row, key) {
  if (!row) return dash;
  if (row[key] === null && row.infinite) return "∞";
  return key === "accuracy" ? exports.percent(row[key]) : fixed(row[key], row[key] >= 100 ? 1 : 3);
};

exports.interval = function (ends, key) {
  if (!ends || typeof ends[0] !== "number" || typeof ends[1] !== "number") return "";
  const scale = key === "accuracy" ? 100 : 1;
  const digits = key === "accuracy" ? 1 : 3;
  return "[" + fixed(scale * ends[0], digits) + ", " + fixed(scale * ends[1], digits) + "]";
};
