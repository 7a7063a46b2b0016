// What all sections look like.
const { el } = require("dom");

exports.section = (id, title, lead, ...children) =>
  el("section", { id, class: "section" }, el("div", { class: "section-head" }, el("h2", null, title),
    lead ? el("p", { class: "lead" }, lead) : null), children);

exports.card = (...children) => el("div", { class: "card" }, children);
exports.grid = (columns, ...children) => el("div", { class: "grid grid-" + columns }, children);
exports.note = (text) => el("p", { class: "note" }, text);
exports.setLabel = (name) => (name === "test" ? "test set" : name === "validation" ? "validation set" : name);
