#include "core/data/describe.hpp"

#include "core/data/message_of.hpp"
#include "support/catch.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using nlohmann::json;

TEST_CASE("a data file is summed up field by field", "[data]") {
  const test::ScratchDirectory directory;
  const std::string path = directory.file("a.jsonl");
  test::write_content(path,
                      "{\"q\": \"äb\", \"n\": 1, \"list\": [1, 2]}\n{\"q\": \"abcd\", \"n\": 1, \"list\": []}\n"
                      "{\"q\": null, \"n\": \"x\", \"list\": [3]}\n");
  const json summary = describe_data(path);
  CHECK(summary["path"] == path);
  CHECK(summary["format"] == "jsonl");
  CHECK(summary["records"] == 3);
  const json& q = summary["fields"]["q"];
  CHECK(q["present"] == 3);
  CHECK(q["types"] == json({{"string", 2}, {"null", 1}}));
  CHECK(q["length"] == json({{"min", 2}, {"mean", 3.0}, {"max", 4}}));
  CHECK(q["examples"] == json::array({"äb", "abcd", "null"}));
  CHECK_FALSE(q.contains("values"));  // all different
  const json& n = summary["fields"]["n"];
  CHECK(n["values"] == json({{"1", 2}, {"x", 1}}));
  CHECK(summary["fields"]["list"]["length"] == json({{"min", 0}, {"mean", 1.0}, {"max", 2}}));
  CHECK_FALSE(summary["fields"]["list"].contains("values"));
}

TEST_CASE("a described file is held to the rules of reading", "[data]") {
  const test::ScratchDirectory directory;
  test::write_content(directory.file("a.csv"), "a,b\n1\n");
  const std::string message = test::message_of([&] { (void)describe_data(directory.file("a.csv")); });
  CHECK(test::missing_part(message, {"a.csv:2"}).empty());
}
