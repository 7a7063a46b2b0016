// Pieces of Vega specifications that the charts share.

exports.linear = (name, range, domain, options) =>
  Object.assign({ name, type: "linear", range, domain, zero: false, nice: false }, options);

// `low` to `high` of all numbers, with some air.
exports.extent = function (values, air = 0.08) {
  const numbers = values.filter((value) => typeof value === "number" && Number.isFinite(value));
  if (numbers.length === 0) return [0, 1];
  let low = Math.min(...numbers);
  let high = Math.max(...numbers);
  if (low === high) {
    low -= Math.abs(low) * 0.05 || 0.05;
    high += Math.abs(high) * 0.05 || 0.05;
  }
  return [low - air * (high - low), high + air * (high - low)];
};

exports.xAxis = (options) => Object.assign({ orient: "bottom", scale: "x", tickCount: 5 }, options);
exports.yAxis = (options) => Object.assign({ orient: "left", scale: "y", grid: true, tickCount: 4 }, options);

exports.line = (data, x, y, options = {}) => ({
  type: "line", from: { data }, interactive: false,
  encode: { update: {
    x: { scale: "x", field: x }, y: { scale: "y", field: y }, stroke: { value: options.color },
    strokeWidth: { value: options.width || 2 }, strokeOpacity: { value: options.opacity || 1 },
    strokeDash: { value: options.dash || [] }, strokeJoin: { value: "round" },
    defined: { signal: "isValid(datum." + y + ")" },
  } },
});

// Round marks with numbers on hover: `tip` is a field that holds {title, rows}.
exports.points = (data, x, y, options = {}) => ({
  type: "symbol", from: { data },
  encode: {
    update: {
      x: { scale: "x", field: x }, y: { scale: "y", field: y }, size: { value: options.size || 44 },
      fill: options.hollow ? { value: "var(--card)" } : { value: options.color },
      stroke: { value: options.hollow ? options.color : "var(--card)" },
      strokeWidth: { value: options.hollow ? 2 : 1 }, tooltip: { field: "tip" },
      opacity: { value: options.opacity === undefined ? 1 : options.opacity },
    },
  },
});

// Large, unseen, on top: what the pointer meets.
exports.targets = (data, x, y) => ({
  type: "symbol", from: { data },
  encode: { update: {
    x: { scale: "x", field: x }, y: { scale: "y", field: y }, size: { value: 260 }, fill: { value: "transparent" },
    tooltip: { field: "tip" },
  } },
});

exports.rule = (encode) => ({ type: "rule", interactive: false, encode: { update: encode } });
