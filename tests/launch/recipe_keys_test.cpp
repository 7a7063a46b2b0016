// The tables of keys agree with the parser, and recipes/README.md with the tables.
#include <algorithm>

#include "launch/recipe/reference.hpp"
#include "launch/recipe/schema.hpp"
#include "launch/recipe_support.hpp"
#include "support/catch.hpp"

namespace chorale {
namespace {

TEST_CASE("every key of the tables is read: nonsense in its place is refused") {
  const std::vector<std::string> everything = {"data.shifted=[{name: a, path: a}]",
                                               "training.regularisers=[{kind: kl_to_base, weight: 1}]",
                                               "training.early_stopping={metric: nll}"};
  REQUIRE(mistakes_of(small_recipe(), everything).empty());
  std::size_t keys = 0;
  for (const recipe::Section* section : recipe::all_sections()) {
    std::string path(section->path);
    if (path.ends_with("[]")) path = path.substr(0, path.size() - 2) + ".0";
    for (const recipe::Key& key : section->keys) {
      const std::string name = path.empty() ? std::string(key.name) : path + "." + std::string(key.name);
      std::vector<std::string> overrides = everything;
      if (name == "data.validation.path") overrides.emplace_back("data.validation.fraction=null");
      overrides.push_back(name + "=[[{zz: 1}]]");
      INFO(name);
      const std::vector<std::string> lines = mistakes_of(small_recipe(), overrides);
      CHECK(std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
        return line.find("': " + name) != std::string::npos && line.find("unknown key") == std::string::npos;
      }));
      ++keys;
    }
  }
  CHECK(keys > 60);
}

TEST_CASE("the defaults printed in the reference are the parser's") {
  const std::vector<std::string> enabled = {"data.shifted=[{name: a, path: a}]",
                                            "training.regularisers=[{kind: kl_to_base, weight: 1}]",
                                            "training.early_stopping={metric: nll}", "task.choices=choices"};
  const std::string expected = resolved_yaml(load_text(with_line(2, "seed: 1234"), enabled));
  std::size_t compared = 0;
  for (const recipe::Section* section : recipe::all_sections()) {
    std::string path(section->path);
    if (path.ends_with("[]")) path = path.substr(0, path.size() - 2) + ".0";
    for (const recipe::Key& key : section->keys) {
      // Derived or required ones say so in words; maps are documented in their own table.
      if (key.type.find("map") != key.type.npos || key.fallback.find(' ') != key.fallback.npos) {
        if (key.fallback != "[initialisation, data_order]" && key.fallback != "[q_proj, v_proj]") continue;
      }
      if (key.fallback == "required" || key.name == "name") continue;
      const std::string name = path.empty() ? std::string(key.name) : path + "." + std::string(key.name);
      if (name == "data.validation.limit") continue;
      INFO(name);
      std::vector<std::string> overrides = enabled;
      overrides.push_back(name + "=" + std::string(key.fallback));
      if (name == "ensemble.members") overrides.emplace_back("ensemble.members=2");
      CHECK(resolved_yaml(load_text(with_line(2, "seed: 1234"), overrides)) == expected);
      ++compared;
    }
  }
  CHECK(compared > 35);
}

TEST_CASE("recipes/README.md holds the reference as it is generated") {
  const std::string readme = test::content_of(std::string(CHORALE_SOURCE_DIR) + "/recipes/README.md");
  const std::string begin = "<!-- keys: written by `chorale validate --reference` -->\n";
  const std::string end = "<!-- end of keys -->";
  const std::size_t from = readme.find(begin);
  const std::size_t to = readme.find(end);
  REQUIRE(from != readme.npos);
  REQUIRE(to != readme.npos);
  CHECK(readme.substr(from + begin.size(), to - from - begin.size()) == "\n" + recipe_reference() + "\n");
}

}  // namespace
}  // namespace chorale
