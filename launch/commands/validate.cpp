#include "launch/commands/validate.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "launch/commands/common.hpp"
#include "launch/commands/input_mistakes.hpp"
#include "launch/recipe/files.hpp"
#include "launch/recipe/notes.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/recipe/reference.hpp"

namespace chorale {
namespace {

struct ValidateOptions {
  std::string recipe;
  std::vector<std::string> overrides;
  bool print = false;
  bool no_files = false;
  bool reference = false;
};

void check_inputs(const Recipe& recipe) {
  const InputMistakes found = input_mistakes(recipe);
  if (found.messages.empty()) return;
  throw Error(found.code, fmt::format("{}", fmt::join(found.messages, "\n")));
}

void validate(const ValidateOptions& options) {
  if (options.reference) {
    write_output(recipe_reference());
    return;
  }
  if (options.recipe.empty()) throw UsageError("RECIPE: no recipe given; write chorale validate RECIPE");
  const Recipe recipe = options.no_files ? load_recipe(options.recipe, options.overrides)
                                         : load_recipe_and_check_files(options.recipe, options.overrides);
  for (const std::string& note : recipe_notes(recipe)) spdlog::warn("{}", note);
  if (!options.no_files) check_inputs(recipe);
  // With --print, standard output is a recipe and nothing else.
  write_output(options.print ? resolved_yaml(recipe) : fmt::format("{} is valid\n", options.recipe));
}

}  // namespace

void add_validate_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("validate", "Check a recipe and list all its mistakes");
  const auto options = std::make_shared<ValidateOptions>();
  command->add_option("RECIPE", options->recipe, "The recipe, a YAML file (keys: recipes/README.md)");
  command->add_option("key=value", options->overrides,
                      "Changes to the recipe: dotted keys, values as YAML, list items by index");
  command->add_flag("--print", options->print, "Print the recipe with every default written out");
  command->add_flag("--no-files", options->no_files,
                    "Look at the recipe alone, not at the model and the data files it names");
  command->add_flag("--reference", options->reference, "Print the table of all recipe keys as Markdown instead");
  command->footer(
      "The recipe is checked first (exit code 2); then the model's configuration and tokenizer and the first 1,000\n"
      "records of each data set, each up to its first mistake (exit code 3). Training looks at all records.\n\n"
      "Example:\n"
      "  chorale validate recipes/quickstart.yaml training.epochs=1 'data.shifted=[]'\n");
  command->callback([options] { validate(*options); });
}

}  // namespace chorale
