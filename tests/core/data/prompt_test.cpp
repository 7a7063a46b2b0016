#include "core/data/prompt.hpp"

#include "core/data/message_of.hpp"
#include "support/catch.hpp"

using namespace chorale;
using nlohmann::json;

namespace {

Record record(const json& fields) {
  return {"id", fields, 12};
}

std::string render(const std::string& text, const json& fields, const std::string* choices = nullptr) {
  return Prompt(text).render(record(fields), "f.jsonl", choices);
}

}  // namespace

TEST_CASE("templates put fields in and keep everything else", "[data]") {
  CHECK(render("Q: {q}\nA:", {{"q", "why {not}? }{"}}) == "Q: why {not}? }{\nA:");
  CHECK(render("{{{q}}} {{}} {{q}}", {{"q", "x"}}) == "{x} {} {q}");
  CHECK(render("{a}{b}{a}", {{"a", "1"}, {"b", "2"}}) == "121");
  CHECK(render("{a b-ü}", {{"a b-ü", "x"}}) == "x");
  CHECK(render("plain", json::object()) == "plain");
}

TEST_CASE("numbers and booleans render as JSON writes them", "[data]") {
  const json fields = json::parse(R"({"a": 3, "b": -0.5, "c": true, "d": 1e20, "e": 12345678901234567890, "f": 1.0})");
  CHECK(render("{a} {b} {c} {d} {e} {f}", fields) == "3 -0.5 true 1e+20 12345678901234567890 1.0");
}

TEST_CASE("{choices} stands for the options unless the task has none", "[data]") {
  const std::string options = "A. x\nB. y";
  CHECK(render("{q}\n{choices}", {{"q", "Q"}, {"choices", json::array({"x", "y"})}}, &options) == "Q\nA. x\nB. y");
  CHECK(render("{choices}", {{"choices", "text"}}) == "text");
  CHECK(Prompt("a {choices} b").uses(kChoicesField));
  CHECK_FALSE(Prompt("a {{choices}} b").uses(kChoicesField));
  CHECK(Prompt("{b} {a} {b}").fields() == std::vector<std::string>{"b", "a", "b"});
}

TEST_CASE("unfit fields name file, line, field and neighbour", "[data]") {
  const json fields = {{"question", "Q"}, {"n", nullptr}, {"list", json::array({1})}, {"o", json::object()}};
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {"{questoin}", {"f.jsonl:12", "task.prompt", "'questoin'", "Did you mean 'question'?"}},
      {"{zzzzzzzz}", {"f.jsonl:12", "'zzzzzzzz'", "The record has: list, n, o, question"}},
      {"{n}", {"f.jsonl:12", "'n'", "type null"}},
      {"{list}", {"f.jsonl:12", "'list'", "type array", "{choices}"}},
      {"{o}", {"f.jsonl:12", "'o'", "type object"}},
  };
  for (const auto& [text, expected] : cases) {
    const std::string message = test::message_of([&, &text = text] { (void)render(text, fields); });
    INFO(message);
    CHECK(test::missing_part(message, expected).empty());
  }
}

TEST_CASE("broken templates are told apart", "[data]") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "is empty"},
      {"a {b", "'{b' is never closed"},
      {"a {b {c}", "'{b {c}' is never closed"},
      {"{", "never closed"},
      {"a } b", "without an opening one after 'a '"},
      {"{a}}", "without an opening one"},
      {"x {} y", "without a name"},
      {"{ }", "without a name"},
  };
  for (const auto& [text, expected] : cases) {
    const std::vector<std::string> mistakes = validate_prompt(text);
    INFO(text);
    REQUIRE(mistakes.size() == 1);
    INFO(mistakes[0]);
    CHECK(mistakes[0].find(expected) != std::string::npos);
    const std::string thrown = test::message_of<UsageError>([&, &text = text] { const Prompt prompt(text); });
    CHECK(thrown == "task.prompt: " + mistakes[0]);
  }
  CHECK(validate_prompt("{a} {{ }} {{{b}}}").empty());
}
