// The smallest module system that Vega's files and ours agree on: each module is a function that fills `exports`, run
// when it is first required.
const chorale = (function () {
  const makers = new Map();
  const made = new Map();

  function define(name, maker) {
    makers.set(name, maker);
  }

  function require(name) {
    if (!made.has(name)) {
      if (!makers.has(name)) throw new Error("no module " + name);
      const module = { exports: {} };
      made.set(name, module.exports);
      makers.get(name)(module.exports, require, module);
    }
    return made.get(name);
  }

  return { define, require };
})();
