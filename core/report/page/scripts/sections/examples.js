// Examples to read: text, what the ensemble made of it, and how the members voted.
const { el } = require("dom");
const { choice, segments } = require("controls");
const { section, setLabel, note } = require("sections/parts");
const format = require("format");

const lists = [
  { value: "wrong", label: "Confidently wrong", none: "The ensemble made no mistake here, or the set has no labels." },
  { value: "epistemic", label: "Members disagree most", none: "" },
  { value: "total", label: "Least sure", none: "" },
];

function option(one, several, members) {
  return el("li", { class: one.is_label ? "option right" : "option" },
    el("span", { class: "option-bar", style: { width: 100 * (one.probability || 0) + "%" } }),
    el("span", { class: "option-name" }, one.name, one.is_label ? el("span", { class: "tag" }, "right answer") : null),
    several ? el("span", { class: "votes", title: one.votes + " of " + members + " members choose this" },
      one.votes ? one.votes + (one.votes === 1 ? " vote" : " votes") : "") : null,
    el("span", { class: "option-value" }, format.percent(one.probability)));
}

function example(run, entry) {
  const several = run.members > 1;
  return el("article", { class: "card example" },
    el("header", null, el("span", { class: "example-id" }, entry.id),
      el("span", { class: "muted" }, "entropy " + format.nats(entry.entropy) +
        (several ? " · mutual information " + format.nats(entry.mutual_information) : ""))),
    entry.text === null ? el("p", { class: "note" }, "No text: " + entry.problem) : el("p", { class: "example-text" }, entry.text),
    el("ul", { class: "options" }, entry.options.map((one) => option(one, several, run.members))),
    entry.others.count ? el("p", { class: "muted small" }, entry.others.count + " other choices, together " + format.percent(entry.others.probability)) : null,
    several ? el("details", { class: "numbers" }, el("summary", null, "Members"), el("ul", { class: "member-votes" },
      entry.members.map((member, i) => el("li", null, "member " + i + ": ", el("strong", null, member.name), " " + format.percent(member.probability))))) : null);
}

exports.examples = function (run) {
  const sets = run.sets.filter((name) => run.examples[name]);
  if (sets.length === 0) return null;
  let set = sets[0];
  let list = run.examples[set].lists.wrong.length ? "wrong" : "total";
  const place = el("div", { class: "examples" });
  const offered = lists.filter((one) => one.value !== "epistemic" || run.members > 1);

  function draw() {
    const { lists: numbers, examples } = run.examples[set];
    const shown = numbers[list].map((number) => example(run, examples[number]));
    place.replaceChildren(...(shown.length ? shown : [note(offered.find((one) => one.value === list).none || "Nothing here.")]));
  }

  draw();
  return section("examples", "Examples to read",
    "The first few of each kind, with the ensemble's probabilities and the members' votes.",
    el("div", { class: "controls" },
      segments("Kind of example", offered, list, (value) => { list = value; draw(); }),
      choice("Set of examples", sets.map((name) => ({ value: name, label: setLabel(name) })), set, (value) => { set = value; draw(); })),
    place);
};
