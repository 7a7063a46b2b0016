// TensorBoard event files: checksums, bytes of records, names. What TensorBoard itself reads is test_tensorboard.py's.
#include "core/storage/event_file.hpp"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "core/base/errors.hpp"
#include "support/catch.hpp"
#include "support/scratch_directory.hpp"

using chorale::EventFile;
using chorale::EventScalar;

namespace {

std::vector<std::string> names_in(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("CRC-32C of the examples in RFC 3720, B.4") {
  using chorale::crc32c;
  CHECK(crc32c("") == 0);
  CHECK(crc32c("123456789") == 0xE3069283U);  // the check value of the CRC catalogue
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAU);
  CHECK(crc32c(std::string(32, '\xFF')) == 0x62A8AB43U);
  std::string ascending;
  for (char byte = 0; byte < 32; ++byte) ascending += byte;
  CHECK(crc32c(ascending) == 0x46DD794EU);
}

TEST_CASE("an event is the bytes protobuf gives") {
  // By python: Event(wall_time=1.5, step=300, summary=Summary(value=[Summary.Value(tag="a", simple_value=0.5)]))
  const std::vector<EventScalar> scalars = {{"a", 0.5}};
  const std::string expected(
      "\x09\x00\x00\x00\x00\x00\x00\xF8\x3F\x10\xAC\x02\x2A\x0A\x0A\x08\x0A\x01\x61\x15\x00\x00\x00\x3F", 24);
  CHECK(chorale::scalars_event(1.5, 300, scalars) == expected);
  const std::string record = chorale::event_record(expected);
  CHECK(record.size() == 8 + 4 + expected.size() + 4);
  CHECK(record.substr(0, 8) == std::string("\x18\0\0\0\0\0\0\0", 8));
  CHECK(record.substr(12, expected.size()) == expected);
}

TEST_CASE("a new file's name comes after all others', and results can be taken away") {
  const chorale::test::ScratchDirectory scratch;
  const std::string directory = scratch.file("run/member_000");
  std::vector<std::string> made;
  for (int life = 0; life < 5; ++life) {
    const EventFile file(directory, life);
    made.push_back(std::filesystem::path(file.path()).filename());
  }
  CHECK(std::is_sorted(made.begin(), made.end()));
  CHECK(names_in(directory) == made);
  // A clock that was ahead, and a name that is none of ours.
  chorale::test::write_content(directory + "/events.out.tfevents.4000000000.host.1.0", "");
  chorale::test::write_content(directory + "/events.out.tfevents.strange", "");
  const EventFile result(directory, -1, ".result");
  CHECK(result.path().find("/events.out.tfevents.4000000001.") != std::string::npos);
  CHECK(result.path().ends_with(".0.result"));
  EventFile::remove(directory, ".result");
  CHECK_FALSE(std::filesystem::exists(result.path()));
  CHECK(names_in(directory).size() == made.size() + 2);
  EventFile::remove(scratch.file("nowhere"), ".result");
}

TEST_CASE("a directory that cannot be made is a storage error that names it") {
  const chorale::test::ScratchDirectory scratch;
  chorale::test::write_content(scratch.file("taken"), "a file");
  CHECK_THROWS_AS(EventFile(scratch.file("taken/member_000")), chorale::StorageError);
}
