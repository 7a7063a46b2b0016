// What the words mean.
const { el } = require("dom");
const { section } = require("sections/parts");
const words = require("words");

exports.definitions = () => section("definitions", "What the words mean", null,
  el("dl", { class: "definitions" }, words.definitions.map(([word, meaning]) =>
    el("div", null, el("dt", null, word), el("dd", null, meaning)))));
