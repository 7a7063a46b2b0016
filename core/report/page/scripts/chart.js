// A Vega view in a box of the page: drawn at the box's width, drawn again when that changes, its numbers below on demand.
const vega = require("vega");
const { el, clear } = require("dom");
const tooltip = require("tooltip");

const font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
// Colours are the style sheet's: a change of theme, or printing, recolours what is drawn.
const config = {
  background: null,
  font,
  axis: {
    labelFont: font, titleFont: font, labelFontSize: 11, titleFontSize: 11, titleFontWeight: 400,
    labelColor: "var(--muted)", titleColor: "var(--muted)", domain: false, ticks: false, labelPadding: 6,
    gridColor: "var(--grid)", titlePadding: 8, labelLimit: 110, labelOverlap: true,
  },
  text: { font, fontSize: 11, fill: "var(--ink)" },
};

let live = [];

async function draw(box, chart) {
  const width = Math.floor(box.clientWidth);
  if (width === 0 || width === chart.width) return;
  chart.width = width;
  if (chart.view) chart.view.finalize();
  clear(box);
  const spec = Object.assign({ config, width, height: chart.height, padding: { left: 2, top: 4, right: 14, bottom: 2 },
    autosize: { type: "fit", contains: "padding" } }, chart.spec(width));
  chart.view = new vega.View(vega.parse(spec, null, { ast: true }), {
    expr: vega.interpreter, renderer: "svg", container: box, tooltip: tooltip.handler,
  });
  await chart.view.runAsync();
  box.setAttribute("data-drawn", "yes");
}

const resized = new ResizeObserver((entries) => {
  for (const entry of entries) {
    const chart = live.find((candidate) => candidate.box === entry.target);
    if (chart) draw(chart.box, chart);
  }
});

// options: {title, help, label: what a screen reader says, height, spec(width), numbers(): a table or null, legend}.
exports.chart = function (options) {
  const box = el("div", { class: "chart", role: "img", "aria-label": options.label, "data-chart": options.id,
    style: { height: options.height + "px" } });
  const chart = { box, height: options.height, spec: options.spec, width: 0, view: null };
  live.push(chart);
  resized.observe(box);
  const title = options.title
    ? el("figcaption", null, tooltip.term(options.title, options.help),
      options.aside ? el("span", { class: "aside" }, options.aside) : null)
    : null;
  let numbers = null;
  if (options.numbers) {
    numbers = el("details", { class: "numbers" }, el("summary", null, "Numbers"));
    numbers.addEventListener("toggle", () => {
      if (numbers.open && numbers.children.length === 1) numbers.append(options.numbers());
    });
  }
  return el("figure", null, title, options.legend || null, box, numbers);
};

// Before a part of the page is made anew.
exports.forget = function (part) {
  live = live.filter((chart) => {
    if (!part.contains(chart.box)) return true;
    resized.unobserve(chart.box);
    if (chart.view) chart.view.finalize();
    return false;
  });
  tooltip.hide();
};
