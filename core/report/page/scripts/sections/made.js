// How a run was made: recipe, placement, versions, times.
const { el } = require("dom");
const { card, grid, section } = require("sections/parts");
const format = require("format");

function placement(placed) {
  return placed.groups.map((group) => {
    const members = group.members === 1 ? "member " + group.first_member
      : "members " + group.first_member + "–" + (group.first_member + group.members - 1);
    const ranks = group.ranks === 1 ? "rank " + group.first_rank
      : "ranks " + group.first_rank + "–" + (group.first_rank + group.ranks - 1);
    return members + " on " + ranks;
  }).join("; ");
}

function facts(run) {
  const metrics = run.metrics || {};
  const timings = run.timings || {};
  const setting = (key) => ((run.settings.find(([name]) => name === key) || [])[1] || "").replace(/^"(.*)"$/, "$1") || null;
  const list = [
    ["directory", run.directory], ["base", setting("base.path")], ["members", String(run.members)], ["seed", run.seed],
    ["adapter parameters", metrics.adapter_parameters_per_member !== undefined ? format.count(metrics.adapter_parameters_per_member) + " per member" : null],
    ["steps", metrics.training ? format.count(metrics.training.steps) : null],
    ["tokens trained on", metrics.training ? format.count(metrics.training.tokens) : null],
    ["processes", timings.ranks ? timings.ranks + (timings.ranks === 1 ? " rank" : " ranks") + ", " + timings.threads_per_rank + (timings.threads_per_rank === 1 ? " thread each" : " threads each") : null],
    ["placement", timings.placement ? placement(timings.placement) : null],
    ["device", timings.device],
    ["peak memory", timings.peak_memory_bytes ? timings.peak_memory_bytes.map(format.bytes).join(", ") + (timings.ranks > 1 ? " by rank" : "") : null],
    ["base fingerprint", metrics.base_fingerprint ? metrics.base_fingerprint.slice(0, 16) + "…" : null],
    ["made by", [metrics.created_by, ...Object.entries(timings.versions || {}).map(([name, version]) => name + " " + version)].filter((part) => part).join(", ") || null],
  ];
  return el("dl", { class: "facts" }, list.filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => [el("dt", null, name), el("dd", null, value)]));
}

// Parts of the run's time as one bar.
function times(run) {
  const seconds = run.timings && run.timings.seconds;
  if (!seconds) return null;
  const order = ["loading", "training", "saving", "evaluation"];
  const parts = Object.entries(seconds).filter(([, value]) => typeof value === "number")
    .sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  const total = parts.reduce((sum, [, value]) => sum + value, 0);
  return el("div", { class: "times" }, el("h3", null, "Time: " + format.seconds(total)),
    el("ul", null, parts.map(([name, value]) => el("li", null, el("span", { class: "times-name" }, name),
      el("span", { class: "times-track" }, el("span", { class: "times-bar", style: { width: 100 * value / (total || 1) + "%" } })),
      el("span", { class: "times-value" }, format.seconds(value))))));
}

exports.made = function (run) {
  return section("made", "How it was made", null,
    grid(2, card(facts(run)), run.timings ? card(times(run)) : null),
    el("details", { class: "card recipe" }, el("summary", null, "Recipe, every default written out"), el("pre", null, run.recipe)));
};
