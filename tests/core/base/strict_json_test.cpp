#include "core/base/strict_json.hpp"

#include "core/base/errors.hpp"
#include "support/catch.hpp"

using namespace chorale;

namespace {

std::string message_of(const std::string& text, std::size_t max_depth = kMaxJsonDepth) {
  try {
    (void)parse_strict_json(text, "f", 10, max_depth);
  } catch (const InputError& error) {
    return error.what();
  }
  return "(accepted)";
}

bool begins(const std::string& text, const std::string& prefix) {
  return text.rfind(prefix, 0) == 0;
}

}  // namespace

TEST_CASE("strict JSON gives what plain JSON gives", "[json]") {
  const std::string text = R"({"a": [1, 2.5, {"b": null}], "c": {"a": true, "b": "ä\n"}, "d": [], "e": {}})";
  CHECK(parse_strict_json(text, "f") == nlohmann::json::parse(text));
  CHECK(parse_strict_json(" 3 ", "f") == 3);
  CHECK(parse_strict_json("[[1]]", "f", 1, 2) == nlohmann::json::parse("[[1]]"));
}

TEST_CASE("strict JSON tells line and column of mistakes", "[json]") {
  CHECK(begins(message_of(""), "f:10:1: not valid JSON"));
  CHECK(begins(message_of("{\"a\" 1}"), "f:10:6: not valid JSON"));
  CHECK(begins(message_of("{\"ü\" 1}"), "f:10:6: not valid JSON"));
  CHECK(begins(message_of("{\n  \"a\": 1\n  \"b\": 2}"), "f:12:5: not valid JSON"));
  CHECK(begins(message_of("{\"a\":1, \"b\": {\"a\": 1},\n\"a\":2}"), "f:11:3: the key 'a' stands twice"));
  CHECK(begins(message_of("[[[1]]]", 2), "f:10:3: more than 2 levels"));
  CHECK(begins(message_of("[{\"a\":{}}]", 2), "f:10:7: more than 2 levels"));
  CHECK(begins(message_of("[1e999]"), "f:10:7: not valid JSON: number overflow"));
  CHECK(begins(message_of("\"\xff\""), "f:10:2: not valid JSON"));
  CHECK(begins(message_of("1 2"), "f:10:3: not valid JSON"));
  CHECK(begins(message_of(std::string("{}\0", 3)), "f:10:3: not valid JSON"));
  CHECK(begins(message_of(std::string("[1]\0 and more", 13)), "f:10:4: not valid JSON"));
  CHECK(begins(message_of(std::string(1000000, '[')), "f:10:65: more than 64 levels"));
}

TEST_CASE("equal keys in different objects are no duplicates", "[json]") {
  CHECK(message_of(R"([{"a": 1}, {"a": {"a": [{"a": 2}, {"a": 3}]}}])") == "(accepted)");
}
