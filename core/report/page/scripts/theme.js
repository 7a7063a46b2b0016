// Light, dark, or what the system says.
const { segments } = require("controls");

exports.themeSwitch = function () {
  return segments("Colours", [
    { value: "auto", label: "Auto" }, { value: "light", label: "Light" }, { value: "dark", label: "Dark" },
  ], "auto", (value) => {
    if (value === "auto") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", value);
  });
};
