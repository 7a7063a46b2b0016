#include "launch/commands/recipes.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/base/nearest.hpp"
#include "core/base/printable.hpp"
#include "core/report/table.hpp"
#include "launch/commands/common.hpp"
#include "launch/commands/shipped_recipes.hpp"

namespace chorale {

std::string ShippedRecipe::heading(std::string_view mark) const {
  const std::size_t at = text.find(mark);
  CHORALE_ASSERT(at != text.npos, fmt::format("the shipped recipe {} says '{}'", name, mark));
  const std::string_view rest = text.substr(at + mark.size());
  return std::string(rest.substr(0, rest.find('\n')));
}

namespace {

const ShippedRecipe& shipped_recipe(const std::string& name) {
  std::vector<std::string_view> names;
  for (const ShippedRecipe& recipe : shipped_recipes()) {
    if (recipe.name == name) return recipe;
    names.push_back(recipe.name);
  }
  throw UsageError(fmt::format("NAME: there is no shipped recipe '{}'.{} `chorale recipes list` shows all.",
                               printable(name, 60), did_you_mean(name, std::span<const std::string_view>(names))));
}

std::string listing() {
  const std::size_t columns = columns_of(STDOUT_FILENO);
  std::string text;
  for (const ShippedRecipe& recipe : shipped_recipes()) {
    text += fmt::format("{}\n", recipe.name) + beside(" ", 2, recipe.what(), columns) +
            beside("  data:", 8, recipe.data(), columns);
  }
  return text + "\n`chorale recipes copy NAME` writes one here to start from.\n";
}

std::string listing_as_json() {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ShippedRecipe& recipe : shipped_recipes()) {
    list.push_back({{"name", recipe.name}, {"what", recipe.what()}, {"data", recipe.data()}});
  }
  return list.dump(2) + "\n";
}

void copy(const std::string& name, std::string file) {
  const ShippedRecipe& recipe = shipped_recipe(name);
  if (file.empty()) file = name + ".yaml";
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) file = (std::filesystem::path(file) / (name + ".yaml")).string();
  if (std::filesystem::exists(std::filesystem::symlink_status(file, ignored))) {
    throw UsageError(
        fmt::format("FILE: {} is there already and was left as it is. Remove it, or give another file name.", file));
  }
  write_file_atomically(file, recipe.text);
  write_output(
      fmt::format("wrote {0}\n"
                  "  data: {1}\n"
                  "  next: chorale validate {0}, then chorale train {0}\n",
                  file, recipe.data()));
}

}  // namespace

void add_recipes_command(CLI::App& app) {
  struct Options {
    std::string name;
    std::string file;
    std::string format = "table";
  };
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("recipes", "List, show and copy the recipes that come with the program");
  command->require_subcommand(1);
  command->footer(
      "Examples:\n"
      "  chorale recipes list\n"
      "  chorale recipes copy quickstart my.yaml\n");

  CLI::App* list = command->add_subcommand("list", "Name, purpose and data of each")->fallthrough();
  list->add_option("--format", options->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  list->footer("Example:\n  chorale recipes list --format json\n");
  list->callback([options] { write_output(options->format == "json" ? listing_as_json() : listing()); });

  CLI::App* show = command->add_subcommand("show", "Print one")->fallthrough();
  show->add_option("NAME", options->name, "As `chorale recipes list` names it")->required();
  show->footer("Example:\n  chorale recipes show quickstart\n");
  show->callback([options] { write_output(shipped_recipe(options->name).text); });

  CLI::App* copy_command = command->add_subcommand("copy", "Write one to a file, to start from")->fallthrough();
  copy_command->add_option("NAME", options->name, "As `chorale recipes list` names it")->required();
  copy_command->add_option("FILE", options->file, "Where to; NAME.yaml here unless given; nothing is overwritten");
  copy_command->footer("Example:\n  chorale recipes copy quickstart my.yaml\n");
  copy_command->callback([options] { copy(options->name, options->file); });
}

}  // namespace chorale
