// Things to choose with.
const { el } = require("dom");

// A row of buttons of which one is pressed. options: [{value, label, color}].
exports.segments = function (label, options, chosen, choose) {
  const buttons = options.map((option) => el("button", {
    type: "button", "aria-pressed": String(option.value === chosen),
    on: {
      click: () => {
        buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(options[i].value === option.value)));
        choose(option.value);
      },
    },
  }, option.color ? el("span", { class: "swatch", style: { background: option.color } }) : null, option.label));
  return el("div", { class: "segments", role: "group", "aria-label": label }, buttons);
};

// Segments for a few options, a list to pull down for more.
exports.choice = function (label, options, chosen, choose) {
  if (options.length < 2) return null;
  if (options.length <= 4) return exports.segments(label, options, chosen, choose);
  const select = el("select", { "aria-label": label, on: { change: () => choose(select.value) } },
    options.map((option) => el("option", { value: option.value, selected: option.value === chosen }, option.label)));
  return select;
};

exports.legend = function (items) {
  return el("ul", { class: "legend" }, items.map((item) => el("li", null,
    el("span", { class: "key " + (item.kind || "dot"), style: { "--key": item.color } }), item.label)));
};
