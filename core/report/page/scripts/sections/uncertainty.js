// Does the ensemble notice text unlike its training data?
const { el } = require("dom");
const { table } = require("table");
const { choice, legend } = require("controls");
const { histograms } = require("charts/histograms");
const { forget } = require("chart");
const { card, grid, section, setLabel } = require("sections/parts");
const format = require("format");

const help = {
  entropy: "Total uncertainty: entropy of the ensemble's probabilities, in nats.",
  mutual_information: "Epistemic uncertainty: the part of the entropy that comes from members contradicting each other.",
};

function detection(run, shifted) {
  const of = (name) => run.metrics.datasets[name];
  const area = (name, who, score) => {
    const found = of(name).detection;
    return found && found[who] ? found[who].auroc[score] : null;
  };
  const rows = (run.metrics.datasets.test ? ["test"] : []).concat(shifted);
  const column = (title, value, show, why) => ({ title, help: why, value, show: (name) => show(value(name)) });
  const auroc = (title, who, score, why) => column(title, (name) => area(name, who, score), format.nats, why);
  return table([
    { title: "set", text: true, value: setLabel, show: setLabel },
    column("examples", (name) => of(name).examples, format.count),
    column("entropy", (name) => of(name).uncertainty.total, format.nats, help.entropy),
    column("mutual information", (name) => of(name).uncertainty.epistemic, format.nats, help.mutual_information),
    column("disagreement", (name) => of(name).disagreement, format.percent, "Share of pairs of members that choose differently."),
    auroc("AUROC entropy", "ensemble", "entropy", "How well the ensemble's entropy tells this set from the test set: 0.5 is chance."),
    auroc("… mutual information", "ensemble", "mutual_information", "The same for the mutual information."),
    auroc("… 1 − confidence", "ensemble", "max_probability", "The same for one minus the largest probability."),
    auroc("single: entropy", "members_mean", "entropy", "What a single member's entropy reaches, on average."),
  ], rows);
}

exports.uncertainty = function (run) {
  if (!run.uncertainty || !run.metrics) return null;
  const sets = Object.keys(run.uncertainty.entropy.counts);
  if (sets.length === 0) return null;
  const shifted = run.sets.filter((name) => name !== "test" && name !== "validation" && sets.includes(name));
  const first = sets.includes("test") ? "test" : sets.includes("validation") ? "validation" : null;
  const place = el("div");

  function draw(name) {
    forget(place);
    const one = (set, color) => ({ set, label: setLabel(set), color });
    const base = one(first || name, first ? "var(--indomain)" : "var(--shifted)");
    const other = first && name ? one(name, "var(--shifted)") : null;
    const chart = (score, title) => {
      const { top, counts } = run.uncertainty[score];
      const filled = (set) => (set ? Object.assign({}, set, { counts: counts[set.set] }) : null);
      return card(histograms("histogram-" + score, title, help[score], top, filled(base), filled(other)));
    };
    place.replaceChildren(
      legend([{ color: base.color, kind: "box", label: base.label }, other ? { color: other.color, kind: "line", label: other.label } : null].filter((item) => item)),
      grid(2, chart("entropy", "Entropy"), run.members > 1 ? chart("mutual_information", "Mutual information") : null));
  }

  const chosen = shifted[0] || null;
  draw(chosen);
  const lead = shifted.length
    ? "Shifted sets hold text unlike the training data. An ensemble that notices is less sure of them than of the test set."
    : "How unsure the ensemble is, example by example. The run has no shifted set to compare with.";
  return section("uncertainty", shifted.length ? "Does it notice other data?" : "How unsure is it?", lead,
    choice("Shifted set", shifted.map((name) => ({ value: name, label: setLabel(name) })), chosen, draw), place,
    shifted.length ? card(detection(run, shifted)) : null);
};
