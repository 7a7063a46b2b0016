// Tables whose columns sort.
const { el, clear } = require("dom");
const { term } = require("tooltip");

function order(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number") return -1;  // what is no number comes last
  if (typeof b === "number") return 1;
  return String(a ?? "").localeCompare(String(b ?? ""), "en", { numeric: true });
}

// columns: [{title, help, minor: not on a phone, value(row): what it sorts by, show(row): text or element, text: true for words}];
// options: {class, mark(row, column): class of a cell}.
exports.table = function (columns, rows, options = {}) {
  let sorted = { column: -1, falling: false };
  const body = el("tbody");
  const heads = columns.map((column, index) => {
    const button = el("button", { type: "button", class: "sort", on: { click: () => sort(index) } }, column.title);
    return el("th", { scope: "col", class: (column.text ? "text" : "number") + (column.minor ? " minor" : ""), "aria-sort": "none" },
      button, column.help ? el("span", { class: "help" }, term("?", column.help)) : null);
  });

  function fill() {
    const shown = rows.map((row) => row);
    if (sorted.column >= 0) {
      const value = columns[sorted.column].value;
      shown.sort((a, b) => {
        const plain = order(value(a), value(b));
        const numbers = typeof value(a) === "number" && typeof value(b) === "number";
        return sorted.falling && (numbers || columns[sorted.column].text) ? -plain : plain;
      });
    }
    clear(body);
    for (const row of shown) {
      body.append(el("tr", null, columns.map((column, index) => el(index === 0 ? "th" : "td", {
        class: [column.text ? "text" : "number", column.minor ? "minor" : "", options.mark ? options.mark(row, column) : ""].join(" ").trim(),
        scope: index === 0 ? "row" : null,
      }, column.show(row)))));
    }
  }

  function sort(index) {
    sorted = { column: index, falling: sorted.column === index && !sorted.falling };
    heads.forEach((head, i) => head.setAttribute(
      "aria-sort", i !== index ? "none" : sorted.falling ? "descending" : "ascending"));
    fill();
  }

  fill();
  return el("div", { class: "table-wrap" }, el("table", { class: options.class },
    el("thead", null, el("tr", null, heads)), body));
};
