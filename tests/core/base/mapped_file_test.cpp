#include "core/base/mapped_file.hpp"

#include <sys/stat.h>

#include <string_view>
#include <utility>

#include "support/catch.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {
std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}
}  // namespace

TEST_CASE("a mapped file shows the file's bytes, before and after its pages are released", "[base]") {
  const ScratchDirectory scratch;
  std::string content(100'000, 'a');
  content[70'000] = 'b';
  write_content(scratch.file("x"), content);
  const MappedFile file(scratch.file("x"));
  CHECK(file.path() == scratch.file("x"));
  CHECK(text_of(file) == content);
  release_pages(file.bytes().subspan(5000, 70'000));
  CHECK(text_of(file) == content);
}

TEST_CASE("a map can change its owner", "[base]") {
  const ScratchDirectory scratch;
  write_content(scratch.file("x"), "one");
  write_content(scratch.file("y"), "two");
  MappedFile first(scratch.file("x"));
  MappedFile second(std::move(first));
  CHECK(text_of(second) == "one");
  second = MappedFile(scratch.file("y"));
  CHECK(text_of(second) == "two");
  CHECK(second.path() == scratch.file("y"));
}

TEST_CASE("what cannot be mapped is named with its reason", "[base]") {
  const ScratchDirectory scratch;
  const auto message = [&](const std::string& path) { return input_error_of([&] { const MappedFile file(path); }); };
  CHECK_THAT(message(scratch.file("absent")), contains("absent: cannot be opened: No such file"));
  CHECK_THAT(message(scratch.path().string()), contains("is a directory"));
  write_content(scratch.file("empty"), "");
  CHECK_THAT(message(scratch.file("empty")), contains("is empty"));
  REQUIRE(::mkfifo(scratch.file("pipe").c_str(), 0600) == 0);
  CHECK_THAT(message(scratch.file("pipe")), contains("not a regular file"));
}
