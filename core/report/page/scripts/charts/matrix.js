// Which members choose alike: the share of examples on which two of them differ.
const { chart } = require("chart");
const { table } = require("table");
const format = require("format");

exports.matrix = function (id, shares) {
  const size = shares.length;
  const cells = shares.flatMap((row, a) => row.map((share, b) => ({
    a, b, share, tip: { title: "members " + a + " and " + b, rows: [["choose differently", format.percent(share)]] },
  })));
  const most = Math.max(0.01, ...cells.map((cell) => cell.share));
  const members = shares.map((_, i) => i);
  const axis = { domain: false, labelOverlap: true, title: "member", scale: "x", orient: "top" };
  return chart({
    id, height: Math.min(420, 60 + Math.max(44, Math.min(56, 360 / size)) * size),
    label: "Share of examples on which two members choose differently, " + size + " by " + size,
    numbers: () => table([
      { title: "members", text: true, value: (cell) => cell.a * size + cell.b, show: (cell) => cell.a + " and " + cell.b },
      { title: "choose differently", value: (cell) => cell.share, show: (cell) => format.percent(cell.share) },
    ], cells.filter((cell) => cell.a < cell.b)),
    spec: () => ({
      data: [{ name: "cells", values: cells }],
      scales: [
        { name: "x", type: "band", range: "width", domain: members, padding: 0.04 },
        { name: "y", type: "band", range: "height", domain: members, padding: 0.04 },
      ],
      axes: [axis, Object.assign({}, axis, { scale: "y", orient: "left" })],
      marks: [
        { type: "rect", from: { data: "cells" }, encode: { update: {
          x: { scale: "x", field: "b" }, width: { scale: "x", band: 1 }, y: { scale: "y", field: "a" },
          height: { scale: "y", band: 1 }, cornerRadius: { value: 3 }, fill: { value: "var(--ensemble)" },
          fillOpacity: { signal: "datum.a === datum.b ? 0.04 : 0.08 + 0.5 * datum.share / " + most },
          tooltip: { field: "tip" },
        } } },
        size > 12 ? null : { type: "text", interactive: false, from: { data: "cells" }, encode: { update: {
          x: { scale: "x", field: "b", band: 0.5 }, y: { scale: "y", field: "a", band: 0.5 },
          align: { value: "center" }, baseline: { value: "middle" }, fill: { value: "var(--ink)" },
          text: { signal: "datum.a === datum.b ? '' : format(datum.share, '.0%')" },
        } } },
      ].filter((mark) => mark),
    }),
  });
};
