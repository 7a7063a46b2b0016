// Several runs side by side.
const { el } = require("dom");
const { table } = require("table");
const { choice, segments, legend } = require("controls");
const { forget } = require("chart");
const { intervals } = require("charts/intervals");
const { reliability } = require("charts/reliability");
const { memberCounts } = require("charts/members");
const { curves } = require("charts/curves");
const { card, grid, section, note, setLabel } = require("sections/parts");
const words = require("words");
const format = require("format");

const dashes = [[], [6, 3], [2, 2], [8, 3, 2, 3]];

function resultTable(runs, set, row, metrics) {
  const dataset = (run) => (run.metrics ? run.metrics.datasets[set] : null);
  const values = (run) => words.rowOf(dataset(run), row) || {};
  const best = new Map(metrics.map((metric) => [metric.title, Math.max(...runs.map((run) =>
    typeof values(run)[metric.key] === "number" ? metric.better * values(run)[metric.key] : -Infinity))]));
  return table([
    { title: "run", text: true, value: (run) => run.label,
      show: (run) => el("span", null, el("span", { class: "key dot", style: { "--key": run.color } }), run.label) },
    ...metrics.map((metric) => ({
      title: metric.title, help: metric.help, value: (run) => values(run)[metric.key],
      show: (run) => el("span", null, format.metric(values(run), metric.key),
        el("span", { class: "below" }, format.interval(words.intervalOf(dataset(run), row, metric.key), metric.key))),
    })),
    { title: "members", minor: true, value: (run) => run.members, show: (run) => String(run.members) },
    { title: "examples", minor: true, value: (run) => (dataset(run) || {}).examples, show: (run) => format.count((dataset(run) || {}).examples) },
    { title: "training", minor: true, value: (run) => ((run.timings || {}).seconds || {}).training,
      show: (run) => { const s = ((run.timings || {}).seconds || {}).training; return typeof s === "number" ? format.seconds(s) : format.dash; } },
  ], runs, {
    class: "compact",
    mark: (run, column) => {
      const metric = metrics.find((one) => one.title === column.title);
      return metric && metric.better * values(run)[metric.key] === best.get(metric.title) ? "best" : "";
    },
  });
}

// Dotted keys whose values differ between the runs.
function differences(runs) {
  const maps = runs.map((run) => new Map(run.settings));
  const keys = [...new Set(runs.flatMap((run) => run.settings.map(([key]) => key)))].filter((key) => !key.startsWith("output."));
  const rows = keys.filter((key) => new Set(maps.map((map) => map.get(key))).size > 1);
  if (rows.length === 0) return note("The recipes are the same but for where they write.");
  return table([{ title: "key", text: true, value: (key) => key, show: (key) => el("code", null, key) },
    ...runs.map((run, i) => ({ title: run.label, text: true, value: (key) => maps[i].get(key) ?? "",
      show: (key) => (maps[i].has(key) && maps[i].get(key) !== "null" ? maps[i].get(key) : format.dash) }))], rows);
}

function warnings(runs, set) {
  const counts = new Set(runs.filter((run) => run.metrics && run.metrics.datasets[set]).map((run) => run.metrics.datasets[set].examples));
  const bases = new Set(runs.filter((run) => run.metrics).map((run) => run.metrics.base_fingerprint));
  return [
    counts.size > 1 ? note("The runs were not evaluated on the same examples: their " + setLabel(set) + "s have " + [...counts].map(format.count).join(" and ") + ". Differences may come from that.") : null,
    bases.size > 1 ? note("The runs have different base models.") : null,
  ];
}

function charts(runs, set, row) {
  const withChart = (kind) => runs.filter((run) => run.charts[set] && run.charts[set][kind]);
  const counted = withChart("members").filter((run) => run.charts[set].members.length > 1);
  const binned = withChart("reliability").filter((run) => run.charts[set].reliability[row]);
  const trained = runs.filter((run) => run.curves.training.mean.steps.length > 1);
  const validated = runs.filter((run) => run.curves.validation.pooled.steps.length > 1);
  const line = (run) => ({ label: run.label, color: run.color, dash: dashes[run.index % dashes.length], width: 2 });
  return [
    grid(3,
      counted.length ? ["nll", "ece"].map((key) => {
        const metric = words.metrics.find((one) => one.key === key);
        return card(memberCounts("compare-count-" + key, metric, counted.map((run) => ({
          label: run.label, color: run.color, counts: run.charts[set].members })),
        { title: metric.title + " by number of members", height: 260 }));
      }) : null,
      binned.length ? card(reliability("compare-reliability", "Reliability", binned.map((run) =>
        Object.assign(line(run), { bins: run.charts[set].reliability[row] })), { height: 260 })) : null),
    grid(2,
      trained.length ? card(curves("compare-loss", "Training loss, members' mean", trained.map((run) =>
        Object.assign(line(run), { steps: run.curves.training.mean.steps, values: run.curves.training.mean.loss })))) : null,
      validated.length ? card(curves("compare-validation", "Validation NLL, ensemble", validated.map((run) =>
        Object.assign(line(run), { steps: run.curves.validation.pooled.steps, values: run.curves.validation.pooled.nll })))) : null),
  ];
}

// What the comparison comes to, on the set and row it begins with.
exports.verdict = function (runs) {
  const set = runs.every((run) => run.sets.includes("test")) ? "test" : (runs[0].sets || [])[0];
  const values = runs.map((run) => ({ run, row: run.metrics && set ? words.rowOf(run.metrics.datasets[set], "ensemble") : null }))
    .filter((one) => one.row && typeof one.row.nll === "number").sort((a, b) => a.row.nll - b.row.nll);
  if (values.length < 2) return runs.map((run) => run.label).join(", ");
  const shown = (one) => format.nats(one.row.nll);
  return values[0].run.label + " has the lowest ensemble NLL on the " + setLabel(set) + ": " + shown(values[0]) + ", against " +
    values.slice(1).map((one) => shown(one) + " of " + one.run.label).join(" and ") + ".";
};

exports.compare = function (runs) {
  const sets = [...new Set(runs.flatMap((run) => run.sets))].filter((name) => runs.some((run) =>
    run.metrics && run.metrics.datasets[name] && run.metrics.datasets[name].members));
  const place = el("div");
  let set = sets.includes("test") ? "test" : sets[0];
  const rows = words.rows.filter((row) => runs.some((run) => run.metrics && words.rowOf(run.metrics.datasets[set], row.key)));
  let row = rows.some((one) => one.key === "ensemble") ? "ensemble" : rows.length ? rows[0].key : null;

  function draw() {
    forget(place);
    if (!set || !row) {
      place.replaceChildren(note("None of the runs has results to compare."), ...charts(runs, set, row));
      return;
    }
    const tokens = runs.every((run) => !run.metrics || !run.metrics.datasets[set] || run.metrics.datasets[set].tokens !== undefined);
    const metrics = tokens ? words.tokenMetrics : words.metrics;
    const dots = (metric) => el("div", { class: "card tile" }, intervals("compare-" + metric.key, metric, runs
      .filter((run) => run.metrics && words.rowOf(run.metrics.datasets[set], row)).map((run) => {
        const dataset = run.metrics.datasets[set];
        const values = words.rowOf(dataset, row);
        return { label: run.label, color: run.color, hollow: false, value: values[metric.key],
          ends: words.intervalOf(dataset, row, metric.key), text: format.metric(values, metric.key) };
      }), { title: metric.title, help: metric.help }));
    place.replaceChildren(...warnings(runs, set).filter((warning) => warning), card(resultTable(runs, set, row, metrics)),
      grid(4, metrics.map(dots)), ...charts(runs, set, row));
  }

  draw();
  return section("compare", "Runs side by side", "The best value of each column is marked; overlapping intervals are no difference.",
    el("div", { class: "controls" },
      segments("Row to compare", rows.map((one) => ({ value: one.key, label: one.title })), row, (value) => { row = value; draw(); }),
      choice("Set to compare on", sets.map((name) => ({ value: name, label: setLabel(name) })), set, (value) => { set = value; draw(); })),
    legend(runs.map((run) => ({ color: run.color, label: run.label }))), place,
    card(el("h3", null, "Where the recipes differ"), differences(runs)));
};
