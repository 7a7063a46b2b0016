// One box that follows the pointer, or stands below what has the focus.
const { el, clear } = require("dom");

let box = null;

function place(x, y) {
  const margin = 12;
  const width = box.offsetWidth;
  const height = box.offsetHeight;
  let left = x + margin;
  if (left + width > document.documentElement.clientWidth - 4) left = Math.max(4, x - width - margin);
  let top = y + margin;
  if (top + height > document.documentElement.clientHeight - 4) top = Math.max(4, y - height - margin);
  box.style.setProperty("left", left + "px");
  box.style.setProperty("top", top + "px");
}

// `content`: a text, or {title, rows: [[name, value]]}.
function fill(content) {
  if (!box) {
    box = el("div", { class: "tooltip", role: "tooltip", hidden: true });
    document.body.append(box);
  }
  clear(box);
  if (typeof content === "string") {
    box.append(content);
    return;
  }
  if (content.title) box.append(el("strong", null, content.title));
  box.append(
    el("dl", null, (content.rows || []).map(([name, value]) => [el("dt", null, name), el("dd", null, value)])));
}

exports.show = function (content, x, y) {
  fill(content);
  box.hidden = false;
  place(x, y);
};

exports.hide = function () {
  if (box) box.hidden = true;
};

// As Vega calls it: (handler, event, item, value); no value hides the box.
exports.handler = function (_, event, __, value) {
  if (value === null || value === undefined || value === "") exports.hide();
  else exports.show(value, event.clientX, event.clientY);
};

// A word with its definition on hover, focus or tap.
exports.term = function (text, help) {
  if (!help) return document.createTextNode(text);
  const word = el("span", { class: "term", tabindex: "0" }, text);
  word.addEventListener("mousemove", (event) => exports.show(help, event.clientX, event.clientY));
  word.addEventListener("mouseleave", exports.hide);
  word.addEventListener("focus", () => {
    const at = word.getBoundingClientRect();
    exports.show(help, at.left, at.bottom);
  });
  word.addEventListener("blur", exports.hide);
  return word;
};
