// Recipes for tests: a small valid one whose lines can be replaced, and what loading says about it.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "launch/recipe/recipe.hpp"
#include "support/scratch_directory.hpp"

namespace chorale {

/// A valid recipe; lines 1 to 12.
inline const std::vector<std::string> kSmallRecipe = {
    "name: small",                           // 1
    "seed: 1",                               // 2
    "base: {path: model.gguf}",              // 3
    "data:",                                 // 4
    "  train: {path: train.jsonl}",          // 5
    "  validation: {fraction: 0.1}",         // 6
    "  test: {path: test.jsonl}",            // 7
    "task:",                                 // 8
    "  prompt: \"{question} {choices} :\"",  // 9
    "  choices: choices",                    // 10
    "  answer: answer",                      // 11
    "ensemble: {members: 2}",                // 12
};

inline std::string join_lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

inline std::string small_recipe() {
  return join_lines(kSmallRecipe);
}

/// The small recipe with line `line` (from 1; one past the end appends) replaced by `text`.
inline std::string with_line(std::size_t line, const std::string& text) {
  std::vector<std::string> lines = kSmallRecipe;
  if (line > lines.size()) {
    lines.push_back(text);
  } else {
    lines[line - 1] = text;
  }
  return join_lines(lines);
}

inline Recipe load_text(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const test::ScratchDirectory directory;
  const std::string path = directory.file("r.yaml");
  test::write_content(path, text);
  return load_recipe(path, overrides);
}

/// The small recipe with overrides.
inline Recipe with(const std::vector<std::string>& overrides) {
  return load_text(small_recipe(), overrides);
}

/// The lines of the UsageError that loading `text` throws, the file's directory removed; empty when it is valid.
inline std::vector<std::string> mistakes_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  std::vector<std::string> lines;
  try {
    (void)load_text(text, overrides);
  } catch (const UsageError& error) {
    std::istringstream stream(error.what());
    for (std::string line; std::getline(stream, line);) {
      const std::size_t file = line.find("/r.yaml:");
      lines.push_back(line.starts_with('/') && file != line.npos ? line.substr(file + 1) : line);
    }
  }
  return lines;
}

}  // namespace chorale
