// The page from the data it carries.
const { el } = require("dom");
const { segments, choice } = require("controls");
const { forget } = require("chart");
const { themeSwitch } = require("theme");
const { note, setLabel } = require("sections/parts");
const { results } = require("sections/results");
const { calibration, worth } = require("sections/calibration");
const { training } = require("sections/training");
const { uncertainty } = require("sections/uncertainty");
const { members } = require("sections/members");
const { examples } = require("sections/examples");
const { made } = require("sections/made");
const { definitions } = require("sections/definitions");
const { compare, verdict } = require("sections/compare");

const colors = ["var(--run-0)", "var(--run-1)", "var(--run-2)", "var(--run-3)", "var(--run-4)", "var(--run-5)"];

function runPart(run) {
  const part = el("div", { class: "run" });
  const labelled = run.sets.filter((name) => run.metrics.datasets[name]);
  const place = el("div");

  function draw(set) {
    forget(place);
    place.replaceChildren(...[results(run, set), calibration(run, set), worth(run, set), members(run, set)].filter((one) => one));
  }

  part.append(el("div", { class: "hero" },
    el("p", { class: "kicker" }, run.label + " · " + run.members + (run.members === 1 ? " member" : " members")),
    el("h1", null, run.headline[0] || ""), run.headline.slice(1).map((sentence) => el("p", { class: "sub" }, sentence)),
    run.problems.map(note)));
  if (run.finished && run.main_set) {
    const switcher = choice("Set", labelled.map((name) => ({ value: name, label: setLabel(name) })), run.main_set, draw);
    if (switcher) part.append(el("div", { class: "controls" }, el("span", { class: "muted small" }, "Evaluated on"), switcher));
    draw(run.main_set);
    part.append(place);
  }
  part.append(...[run.metrics && uncertainty(run), training(run), examples(run), made(run)].filter((one) => one));
  return part;
}

exports.show = function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const runs = data.runs;
  runs.forEach((run, index) => Object.assign(run, { index, color: colors[index % colors.length] }));
  const main = el("main");
  const place = el("div");
  const pick = (index) => {
    forget(place);
    place.replaceChildren(runPart(runs[Number(index)]));
  };
  document.getElementById("page").append(
    el("header", { class: "top" }, el("span", { class: "brand" }, "Chorale report"), themeSwitch()), main,
    el("footer", { class: "bottom" }, "Made by " + data.made_by + ". This page is one file and asks nothing of the network."));
  if (runs.length > 1) {
    main.append(el("div", { class: "hero" }, el("p", { class: "kicker" }, runs.length + " runs"),
      el("h1", null, verdict(runs))), compare(runs));
    main.append(el("div", { class: "run-switch" }, el("span", { class: "muted small" }, "One run in detail"),
      (runs.length <= 4 ? segments : choice)("Run", runs.map((run) => ({ value: String(run.index), label: run.label, color: run.color })), "0", pick)));
  }
  pick(0);
  main.append(place, definitions());
};
