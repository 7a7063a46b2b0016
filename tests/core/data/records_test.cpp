#include "core/data/records.hpp"

#include <filesystem>

#include "core/base/errors.hpp"
#include "core/data/line_reader.hpp"
#include "core/data/message_of.hpp"
#include "support/catch.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using nlohmann::json;

namespace {

RecordFile read(const std::string& name, const std::string& content, std::size_t limit = 0) {
  const test::ScratchDirectory directory;
  test::write_content(directory.file(name), content);
  return read_records(directory.file(name), limit);
}

}  // namespace

TEST_CASE("JSON lines keep types, ids and line numbers", "[data]") {
  const RecordFile file = read("a.jsonl",
                               "\xef\xbb\xbf{\"id\": \"x\", \"n\": 1.5, \"list\": [1, \"zwei\"]}\r\n"
                               "\n   \n"
                               "{\"id\": 7, \"ok\": true}\n{\"q\": \"a\\nb\"}");
  REQUIRE(file.records.size() == 3);
  CHECK(file.records[0].id == "x");
  CHECK(file.records[0].line == 1);
  CHECK(file.records[0].fields == json({{"id", "x"}, {"n", 1.5}, {"list", json::array({1, "zwei"})}}));
  CHECK(file.records[1].id == "7");
  CHECK(file.records[1].line == 4);
  CHECK(file.records[2].id == "5");
  CHECK(file.records[2].fields == json({{"q", "a\nb"}}));
}

TEST_CASE("CSV follows RFC 4180", "[data]") {
  const RecordFile file = read("a.CSV",
                               "\xef\xbb\xbfid,text,note\r\n"
                               "1,\"a, \"\"b\"\"\r\nc\",x\r\n"
                               "\r\n"
                               "2,it's \"plain\",\r"
                               "3,\"\",ende");
  REQUIRE(file.records.size() == 3);
  CHECK(file.records[0].fields == json({{"id", "1"}, {"text", "a, \"b\"\r\nc"}, {"note", "x"}}));
  CHECK(file.records[1].fields == json({{"id", "2"}, {"text", "it's \"plain\""}, {"note", ""}}));
  CHECK(file.records[2].fields == json({{"id", "3"}, {"text", ""}, {"note", "ende"}}));
  CHECK(file.records[0].line == 2);
  CHECK(file.records[1].line == 5);
  CHECK(file.records[2].line == 6);
}

TEST_CASE("old line ends, a carriage return alone, give rows and line numbers too", "[data]") {
  const RecordFile file = read("a.csv", "a,b\r1,2\r\r3,4\r");
  REQUIRE(file.records.size() == 2);
  CHECK(file.records[1].fields == json({{"a", "3"}, {"b", "4"}}));
  CHECK(file.records[0].id == "2");
  CHECK(file.records[1].id == "4");
}

TEST_CASE("TSV takes quotes and backslashes literally", "[data]") {
  const RecordFile file = read("a.tsv", "q\ta\r\n\"half\tx\\t\r\n\n\t\n");
  REQUIRE(file.records.size() == 2);
  CHECK(file.records[0].fields == json({{"q", "\"half"}, {"a", "x\\t"}}));
  CHECK(file.records[1].fields == json({{"q", ""}, {"a", ""}}));
  CHECK(file.records[1].line == 4);
}

TEST_CASE("a limit reads the first records and nothing behind them", "[data]") {
  CHECK(read("a.jsonl", "{\"a\":1}\n{\"a\":2}\nnot json\n", 2).records.size() == 2);
  CHECK(read("a.csv", "a,b\n1,2\n3,4\n5\n", 2).records.size() == 2);
  CHECK(read("a.jsonl", "{\"a\":1}\n", 5).records.size() == 1);
}

TEST_CASE("lines that cross the reader's buffer stay whole", "[data]") {
  std::string content;
  for (std::size_t length : {65535U, 65536U, 65537U, 200000U, 1U}) {
    content += "{\"t\":\"" + std::string(length, 'x') + "\"}\n";
  }
  const RecordFile file = read("a.jsonl", content);
  REQUIRE(file.records.size() == 5);
  CHECK(file.records[3].fields["t"].get<std::string>().size() == 200000);
  CHECK(file.records[4].line == 5);
}

TEST_CASE("bad data files name file, line and remedy", "[data]") {
  struct Case {
    std::string name;
    std::string content;
    std::vector<std::string> expected;  // parts of the message
  };
  const std::string deep = "{\"a\":" + std::string(100000, '[');
  const std::vector<Case> cases = {
      {"a.jsonl", "", {"a.jsonl: holds no record"}},
      {"a.jsonl", "\n \n", {"holds no record"}},
      {"a.jsonl", "{\"a\":1}\n{\"a\" 1}\n", {"a.jsonl:2:6", "not valid JSON", "one JSON object"}},
      {"a.jsonl", "{\"ä\": tru}\n", {"a.jsonl:1:10", "not valid JSON"}},  // columns count characters, not bytes
      {"a.jsonl", "{\"a\":1},\n", {"a.jsonl:1:8", "not valid JSON"}},
      {"a.jsonl", "{\"a\":1} {\"a\":2}\n", {"a.jsonl:1:9", "not valid JSON"}},
      {"a.jsonl", "{\"a\":[1,2\n", {"a.jsonl:1:", "not valid JSON"}},
      {"a.jsonl", "{\"a\":NaN}\n", {"a.jsonl:1:", "not valid JSON"}},
      {"a.jsonl", "{\"a\":1e999}\n", {"a.jsonl:1:", "number overflow"}},
      {"a.jsonl", "{\"a\":\"\\ud800\"}\n", {"a.jsonl:1:", "surrogate"}},
      {"a.jsonl", "{\"a\":{\"b\":1,\"b\":2}}\n", {"a.jsonl:1:", "'b' stands twice", "remove one"}},
      {"a.jsonl", deep, {"a.jsonl:1:69", "more than 64 levels"}},
      {"a.jsonl", "[1]\n", {"a.jsonl:1", "must be an object", "array", "line of its own"}},
      {"a.jsonl", "3\n", {"a.jsonl:1", "must be an object"}},
      {"a.json", "[\n{\"a\":1}\n]\n", {"a.json:1", "does not end on its line", "jq"}},
      {"a.jsonl", "{}\n", {"a.jsonl:1", "no fields"}},
      {"a.jsonl", "{\"id\":\"x\"}\n\n{\"id\":\"x\"}\n", {"a.jsonl:3", "'x'", "line 1"}},
      {"a.jsonl", "{\"a\":1}\n{\"id\":\"1\"}\n", {"a.jsonl:2", "'1'", "line number"}},
      {"a.jsonl", "{\"id\":[1]}\n", {"a.jsonl:1", "'id' must be a string or a number", "array"}},
      {"a.jsonl", "{\"a\":1}\n{\"a\":\"\xff\"}\n", {"a.jsonl:2", "byte 7", "0xff", "UTF-8"}},
      {"a.jsonl", "{\"a\":\"\xc0\xaf\"}\n", {"a.jsonl:1", "byte 7", "0xc0", "UTF-8"}},
      {"a.jsonl", std::string("\xff\xfe{\0", 4), {"a.jsonl:1", "UTF-16", "Save the file as UTF-8"}},
      {"a.jsonl", std::string("{\"a\":\0 1}", 9), {"a.jsonl:1", "binary"}},
      {"a.jsonl", std::string(kMaxRecordBytes + 1, ' '), {"a.jsonl:1", "longer than 16 MiB"}},
      {"a.csv", "", {"a.csv: is empty", "header line"}},
      {"a.csv", "a,b\n", {"holds no record"}},
      {"a.csv", "a,,c\n1,2,3\n", {"a.csv:1", "column 2", "no name"}},
      {"a.csv", "0,1,0\nx,y,z\n", {"a.csv:1", "'0' twice", "without a header line"}},
      {"a.csv", "a,b\n1,2\n\n1,2,3\n", {"a.csv:4", "3 fields where the header has 2", "double quotes"}},
      {"a.csv", "a,b\n1\n", {"a.csv:2", "1 fields where the header has 2"}},
      {"a.csv", "a,b\n1,2\n\"x\ny,2\n", {"a.csv:3", "never closed"}},
      {"a.csv", "a,b\n\"x\"y,2\n", {"a.csv:2", "'y,2", "closing quote"}},
      {"a.csv", "a,b\n\"x\ny\xe9\",2\n", {"a.csv:3", "byte 2", "0xe9"}},
      {"a.tsv", "a,b\n1,2\n", {"a.tsv:1", "commas and no tab", ".csv"}},
      {"a.tsv", "a\tb\n1\t2\t3\n", {"a.tsv:2", "3 fields", "Remove tabs"}},
      {"a.txt", "x", {"a.txt", ".jsonl", ".csv", ".tsv"}},
      {"data", "x", {"data", ".jsonl"}},
  };
  for (const Case& bad : cases) {
    const std::string message = test::message_of([&] { (void)read(bad.name, bad.content); });
    INFO(bad.name << ": " << bad.content.substr(0, 60) << "\n" << message);
    CHECK(test::missing_part(message, bad.expected).empty());
    CHECK(message.size() < 700);
  }
}

TEST_CASE("an endless quoted field is given up in time", "[data]") {
  const test::ScratchDirectory directory;
  std::string content = "a,b\n1,\"";
  while (content.size() < kMaxRecordBytes + 200000) content += std::string(99999, 'x') + "\n";
  test::write_content(directory.file("a.csv"), content);
  const std::string message = test::message_of([&] { (void)read_records(directory.file("a.csv")); });
  CHECK(test::missing_part(message, {"a.csv:2", "longer than 16 MiB"}).empty());
}

TEST_CASE("files that are not there or not files say so", "[data]") {
  const test::ScratchDirectory directory;
  const std::string absent = test::message_of([&] { (void)read_records(directory.file("no.jsonl")); });
  CHECK(test::missing_part(absent, {"no.jsonl: cannot be opened (No such file", "working directory"}).empty());
  std::filesystem::create_directory(directory.path() / "d.csv");
  const std::string folder = test::message_of([&] { (void)read_records(directory.file("d.csv")); });
  CHECK(test::missing_part(folder, {"d.csv: is a directory"}).empty());
}
