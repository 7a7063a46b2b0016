#include "core/data/choices.hpp"

#include "core/data/message_of.hpp"
#include "support/catch.hpp"

using namespace chorale;
using nlohmann::json;

namespace {

Record record(const json& fields) {
  return {"id", fields, 5};
}

std::vector<std::string> options(const json& value) {
  return record_choices(record({{"c", value}}), "f", "c");
}

// The index an answer names, -1 for none.
std::int32_t index_of(const json& answer, const std::vector<std::string>& choices) {
  const auto found = find_answer(record({{"a", answer}}), "f", "a", choices);
  return found ? found->index : -1;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("options come from arrays, JSON text or bars", "[data]") {
  CHECK(options(json::array({"a", " b"})) == Texts{"a", " b"});
  CHECK(options(json::array({1, 2.5, true})) == Texts{"1", "2.5", "true"});
  CHECK(options("red | dark green|blue ") == Texts{"red", "dark green", "blue"});
  CHECK(options(" [\"a|b\", \"c\"] ") == Texts{"a|b", "c"});
  CHECK(options("[0, 1]|[1, 2]") == Texts{"[0, 1]", "[1, 2]"});
}

TEST_CASE("unfit options name file, line and field", "[data]") {
  const std::vector<std::pair<json, std::vector<std::string>>> cases = {
      {json::array(), {"f:5", "'c' holds 0 options", "at least two"}},
      {json::array({"a"}), {"f:5", "'c' holds 1 option."}},
      {json::array({"a", nullptr}), {"f:5", "option 1 in 'c' is of type null"}},
      {json::array({"a", json::array({"b"})}), {"f:5", "option 1", "array"}},
      {json::array({"a", " "}), {"f:5", "option 1 in 'c' has no text"}},
      {"a||b", {"f:5", "option 1 in 'c' has no text"}},
      {"only", {"f:5", "'only'", "Separate them by |"}},
      {"", {"f:5", "one piece of text"}},
      {"[1, 2", {"f:5", "JSON array"}},
      {3, {"f:5", "type number"}},
      {nullptr, {"f:5", "type null"}},
      {json::object({{"text", "a"}}), {"f:5", "type object"}},
  };
  for (const auto& [value, expected] : cases) {
    const std::string message = test::message_of([&, &value = value] { (void)options(value); });
    INFO(value.dump() << "\n" << message);
    CHECK(test::missing_part(message, expected).empty());
  }
  const std::string absent = test::message_of([] { (void)record_choices(record({{"choice", 1}}), "f", "choices"); });
  CHECK(test::missing_part(absent, {"f:5", "'choices'", "Did you mean 'choice'?"}).empty());
}

TEST_CASE("an answer is an index, a text, a letter or digits, in this order", "[data]") {
  const Texts colours = {"red", "green", "blue"};
  CHECK(index_of(0, colours) == 0);
  CHECK(index_of(2, colours) == 2);
  CHECK(index_of(3, colours) == -1);
  CHECK(index_of(-1, colours) == -1);
  CHECK(index_of(18446744073709551615ULL, colours) == -1);
  CHECK(index_of("green", colours) == 1);
  CHECK(index_of("Green", colours) == -1);
  CHECK(index_of(" green", colours) == -1);
  CHECK(index_of("A", colours) == 0);
  CHECK(index_of("C", colours) == 2);
  CHECK(index_of("D", colours) == -1);
  CHECK(index_of("a", colours) == -1);
  CHECK(index_of("1", colours) == 1);
  CHECK(index_of("3", colours) == -1);
  CHECK(index_of("-1", colours) == -1);
  CHECK(index_of("1.0", colours) == -1);
  CHECK(index_of("99999999999999999999999", colours) == -1);
  CHECK(index_of("", colours) == -1);
  CHECK(index_of(nullptr, colours) == -1);
  CHECK_FALSE(find_answer(record({{"b", 1}}), "f", "a", colours));
}

TEST_CASE("an option's own text comes before letters and digits, and is marked", "[data]") {
  const Texts logic = {"A", "~A", "B", "~B"};
  CHECK(find_answer(record({{"a", "B"}}), "f", "a", logic)->index == 2);
  CHECK(find_answer(record({{"a", "B"}}), "f", "a", logic)->ambiguous);
  CHECK(find_answer(record({{"a", "A"}}), "f", "a", logic)->index == 0);
  CHECK_FALSE(find_answer(record({{"a", "A"}}), "f", "a", logic)->ambiguous);  // both readings agree
  CHECK_FALSE(find_answer(record({{"a", "C"}}), "f", "a", logic)->ambiguous);
  const Texts numbers = {"1", "2", "3", "4"};
  CHECK(find_answer(record({{"a", "2"}}), "f", "a", numbers)->index == 1);
  CHECK(find_answer(record({{"a", "2"}}), "f", "a", numbers)->ambiguous);
  CHECK(find_answer(record({{"a", "4"}}), "f", "a", numbers)->index == 3);
  CHECK_FALSE(find_answer(record({{"a", "4"}}), "f", "a", numbers)->ambiguous);  // 4 is no index here
  CHECK(find_answer(record({{"a", 2}}), "f", "a", numbers)->index == 2);         // a JSON integer is an index
}

TEST_CASE("answers of other types and twin options are refused", "[data]") {
  for (const json& answer : {json(1.5), json(true), json::array({0}), json::object()}) {
    const std::string message = test::message_of([&] { (void)index_of(answer, {"x", "y"}); });
    INFO(answer.dump() << "\n" << message);
    CHECK(test::missing_part(message, {"f:5", "'a'", "type", "index from 0"}).empty());
  }
  const std::string twins = test::message_of([] { (void)index_of("x", {"x", "y", "x"}); });
  CHECK(test::missing_part(twins, {"f:5", "'x'", "two options", "index"}).empty());
  CHECK(index_of("C", {"x", "y", "x"}) == 2);
}

TEST_CASE("a missing label says what was possible", "[data]") {
  const Texts colours = {"red", "green", "blue"};
  const std::string near = test::message_of([&] { no_such_answer(record({{"a", "gren"}}), "f", "a", colours); });
  CHECK(
      test::missing_part(near, {"f:5", "'gren'", "'a'", "0 to 2", "letter up to C", "Did you mean 'green'?"}).empty());
  const std::string number = test::message_of([&] { no_such_answer(record({{"a", 3}}), "f", "a", colours); });
  CHECK(test::missing_part(number, {"f:5", "'3'", "none of the 3 options"}).empty());
  const std::string absent = test::message_of([&] { no_such_answer(record({{"anser", 3}}), "f", "answer", colours); });
  CHECK(test::missing_part(absent, {"f:5", "task.answer", "lacks", "'anser'"}).empty());
}

TEST_CASE("options are shown with or without letters", "[data]") {
  CHECK(choices_text({"x", "y"}, true) == "A. x\nB. y");
  CHECK(choices_text({"x", "y"}, false) == "x\ny");
}
