// What other programs write, by its first bytes, and text that only looks alike.
#include "core/base/foreign_file.hpp"

#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace chorale;
using namespace std::string_literals;

TEST_CASE("kinds are told by their signatures") {
  const std::vector<std::pair<std::string, std::string>> kinds = {
      {"%PDF-1.7\n%\xe2\xe3"s, "a PDF document"},
      {"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"s, "a PNG image"},
      {"\x1f\x8b\x08\0"s, "compressed with gzip"},
      {"PK\x03\x04\x14\0"s, "a zip archive (or a spreadsheet, or PyTorch's weights)"},
      {"PAR1\x15\x04\x15\x90"s, "a Parquet file"},
      {"\x80\x04\x95\x10\0"s, "a Python pickle"},
      {"\x89HDF\r\n\x1a\n\0"s, "an HDF5 file"},
      {"GGUF\x03\0\0\0"s, "a GGUF model"},
      {"\xff\xfe{\0}\0"s, "UTF-16 text"},
      {"\x40\0\0\0\0\0\0\0{\"a\":{}}"s, "a safetensors file of weights"},
      {"<!DOCTYPE html>"s, "a web page"},
      {"version https://git-lfs.github.com/spec/v1\n"s, "a placeholder of Git LFS (git lfs pull fetches the file)"},
  };
  for (const auto& [start, name] : kinds) {
    INFO(name);
    const auto kind = foreign_kind(start);
    REQUIRE(kind);
    CHECK(kind->name == name);
    CHECK(kind->data_remedy.ends_with('.'));
    CHECK(foreign_kind_hint(start) == " It is " + name + ".");
  }
}

TEST_CASE("text is no foreign kind, whatever word it begins with") {
  for (const std::string& text : {""s, "{}"s, "{\"question\": \"PK\"}\n"s, "PAR1,b,c\n1,2,3\n"s, "GGUF\tsize\n"s,
                                  "BZh,x\n"s, "GIF89a is a format\n"s, "\xef\xbb\xbfid,text\n"s, "caf\xc3\xa9\n"s}) {
    INFO(text);
    CHECK_FALSE(foreign_kind(text));
    CHECK(foreign_kind_hint(text).empty());
  }
}
