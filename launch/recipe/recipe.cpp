#include "launch/recipe/recipe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "launch/recipe/files.hpp"
#include "launch/recipe/overrides.hpp"
#include "launch/recipe/scalars.hpp"
#include "launch/recipe/sections.hpp"

namespace chorale {
namespace recipe {
namespace {

constexpr std::size_t kLongestName = 100;

std::string read_text(const std::string& path) {
  // One byte beyond the limit is enough for the parser to refuse the file; a device would never end.
  constexpr std::size_t kMostRead = (std::size_t{1} << 20) + 1;
  std::ifstream file(path, std::ios::binary);
  std::string text(kMostRead, '\0');
  if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad() || (file.fail() && !file.eof())) {
    throw UsageError(
        fmt::format("{}: cannot read the recipe; give the path of a YAML file you may read", printable(path, 300)));
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

void read_name(Reader& reader, std::string& name) {
  reader.line("name", name);
  const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c < 0x80 && std::isalnum(c) != 0) || c == '_' || c == '-' || c == '.';
  });
  if (plain && std::isalnum(static_cast<unsigned char>(name.front())) != 0 && name.size() <= kLongestName) return;
  reader.mistake("name", fmt::format("must be one word of letters, digits, '_', '-' and '.', starting with a letter or "
                                     "digit, at most {} long; it names the run directory",
                                     kLongestName));
}

void read_seed(Reader& reader, std::uint64_t& seed) {
  const Node* node = reader.find("seed");
  if (node == nullptr) return;
  const auto value = node->kind == Node::Kind::scalar && !node->quoted ? parse_unsigned(node->text) : std::nullopt;
  if (value) {
    seed = *value;
  } else {
    reader.mistake("seed", "must be a whole number from 0 to 18446744073709551615");
  }
}

// A section the recipe cannot do without: missing, it is a mistake, and its own missing keys are not listed too.
std::optional<Reader> required_section(Reader& reader, std::string_view name, const Section& table,
                                       std::string_view remedy) {
  if (!reader.require(name, remedy)) return std::nullopt;
  return reader.section(name, table);
}

Recipe read_recipe(const Node& root, RecipeUse use, Mistakes& mistakes) {
  Recipe result;
  result.name = "run";
  Reader reader(root, recipe_table(), "", mistakes);
  read_name(reader, result.name);
  read_seed(reader, result.seed);
  if (auto base = required_section(reader, "base", base_table(), "name the model: base: {path: MODEL}")) {
    read_base(*base, result.base);
  }
  const Section& data_table = *data_tables().front();
  if (auto data = required_section(reader, "data", data_table, "name the files: data: {train: {path: FILE}}")) {
    read_data(*data, use, result.data);
  }
  if (auto task = required_section(reader, "task", task_table(), "say what to learn: prompt, choices and answer")) {
    read_task(*task, result.task);
  }
  if (auto ensemble = reader.section("ensemble", ensemble_table())) read_ensemble(*ensemble, result.ensemble);
  if (auto adapter = reader.section("adapter", adapter_table())) read_adapter(*adapter, result.adapter);
  if (auto training = reader.section("training", *training_tables().front())) {
    const bool has_validation = result.data.validation.has_value() || result.data.validation_fraction > 0;
    read_training(*training, {result.ensemble.members, has_validation}, result.training);
  }
  if (auto evaluation = reader.section("evaluation", evaluation_table())) {
    read_evaluation(*evaluation, result.evaluation);
  }
  read_running(reader, result);
  return result;
}

}  // namespace

const Section& recipe_table() {
  static const Section table = {
      "",
      {{"name", "word", "run", "names the run, and its directory unless output.directory does"},
       {"seed", "integer >= 0", "1234",
        "seed of everything random: initial adapters, order of the data, dropout, intervals"},
       {"base", "map", "required", "the frozen language model"},
       {"data", "map", "required", "training, validation, test and shifted sets"},
       {"task", "map", "required", "from a record to a prompt and its answer"},
       {"ensemble", "map", "see below", "the members"},
       {"adapter", "map", "see below", "what is trained, and where in the model"},
       {"training", "map", "see below", "optimisation"},
       {"evaluation", "map", "see below", "predictions and metrics"},
       {"checkpoint", "map", "see below", "saved states"},
       {"output", "map", "see below", "where results go"},
       {"distributed", "map", "see below", "several processes"}}};
  return table;
}

const std::vector<const Section*>& all_sections() {
  static const std::vector<const Section*> sections = [] {
    std::vector<const Section*> all = {&recipe_table(), &base_table()};
    const auto add = [&all](const std::vector<const Section*>& more) {
      all.insert(all.end(), more.begin(), more.end());
    };
    add(data_tables());
    add({&task_table(), &ensemble_table(), &adapter_table()});
    add(training_tables());
    add({&evaluation_table()});
    add(running_tables());
    return all;
  }();
  return sections;
}

}  // namespace recipe

namespace {

Recipe parse(const std::string& text, const std::string& source, const std::vector<std::string>& overrides,
             RecipeUse use, bool with_files) {
  recipe::Mistakes mistakes;
  recipe::Node root = recipe::parse_yaml(text, printable(source, 300), nullptr, mistakes);
  if (root.kind == recipe::Node::Kind::null) {
    mistakes.add(root.place, "", "the recipe is empty; start from one in recipes/");
    mistakes.throw_if_any();
  }
  for (const std::string& override : overrides) recipe::apply_override(root, override, mistakes);
  Recipe result = recipe::read_recipe(root, use, mistakes);
  if (with_files) recipe::check_files(root, mistakes);
  mistakes.throw_if_any();
  return result;
}

}  // namespace

Recipe load_recipe(const std::string& path, const std::vector<std::string>& overrides) {
  return parse(recipe::read_text(path), path, overrides, RecipeUse::training, false);
}

Recipe load_evaluation_recipe(const std::string& path) {
  return parse(recipe::read_text(path), path, {}, RecipeUse::evaluation, false);
}

Recipe load_recipe_text(const std::string& text, const std::string& source) {
  return parse(text, source, {}, RecipeUse::evaluation, false);
}

Recipe load_recipe_and_check_files(const std::string& path, const std::vector<std::string>& overrides) {
  return parse(recipe::read_text(path), path, overrides, RecipeUse::training, true);
}

std::string resolved_yaml(const Recipe& recipe) {
  recipe::Writer writer;
  writer.text("name", recipe.name);
  writer.unsigned_integer("seed", recipe.seed);
  recipe::write_base(writer, recipe.base);
  recipe::write_data(writer, recipe.data);
  recipe::write_task(writer, recipe.task);
  recipe::write_ensemble(writer, recipe.ensemble);
  recipe::write_adapter(writer, recipe.adapter);
  recipe::write_training(writer, recipe.training);
  recipe::write_evaluation(writer, recipe.evaluation);
  recipe::write_running(writer, recipe);
  return writer.finish();
}

}  // namespace chorale
