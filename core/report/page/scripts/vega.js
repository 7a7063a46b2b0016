// What vega's own index makes of its packages: https://vega.github.io/vega. Vega and the D3 modules inside it are
// Copyright 2015-2021 UW Interactive Data Lab (BSD-3-Clause), 2010-2021 Mike Bostock (ISC), the expression parser
// 2012-2013 Ariya Hidayat and contributors (BSD-2-Clause); redistribution keeps these notices, and all of it comes
// without any warranty.
const { extend } = require("vega-util");
const { transforms } = require("vega-dataflow");

extend(transforms, require("vega-transforms"), require("vega-view-transforms"), require("vega-encode"));

exports.parse = require("vega-parser").parse;
exports.View = require("vega-view").View;
// Expressions are interpreted, never compiled: the page's policy forbids code made at run time.
exports.interpreter = require("vega-interpreter").expressionInterpreter;
