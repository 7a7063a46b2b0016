#include "core/base/atomic_file.hpp"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <iterator>
#include <string>

#include "core/base/errors.hpp"
#include "support/catch.hpp"
#include "support/scratch_directory.hpp"

namespace {

namespace fs = std::filesystem;
using chorale::test::content_of;
using chorale::test::ScratchDirectory;

std::size_t entries(const fs::path& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

template <typename Action>
std::string storage_message(Action&& action) {
  try {
    action();
  } catch (const chorale::StorageError& error) {
    return error.what();
  }
  return "no StorageError";
}

}  // namespace

TEST_CASE("an atomic write replaces the old content and leaves nothing else behind") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("metrics.json");
  const std::string first("zero \0 inside", 13);
  chorale::write_file_atomically(path, first);
  CHECK(content_of(path) == first);
  chorale::write_file_atomically(path, "");
  CHECK(content_of(path).empty());
  const std::string large(3'000'000, 'x');
  chorale::write_file_atomically(path, large);
  CHECK(content_of(path) == large);
  CHECK(entries(scratch.path()) == 1);
}

TEST_CASE("a write that fails names path, cause and remedy, and keeps the old file") {
  const ScratchDirectory scratch;
  const std::string missing = (scratch.path() / "no_such_directory" / "file").string();
  const std::string message = storage_message([&] { chorale::write_file_atomically(missing, "x"); });
  CHECK(message.find(missing) != std::string::npos);
  CHECK(message.find("No such file or directory") != std::string::npos);
  CHECK(message.find("Create the directory first") != std::string::npos);

  // The directory stands where the file should go: the rename itself fails, and the unfinished file must go.
  fs::create_directories(scratch.path() / "occupied" / "inner");
  const std::string occupied = scratch.file("occupied");
  CHECK(storage_message([&] { chorale::write_file_atomically(occupied, "x"); }).find(occupied) != std::string::npos);
  CHECK(entries(scratch.path()) == 1);
}

TEST_CASE("a file system that takes no more bytes leaves the old file whole") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("file");
  chorale::write_file_atomically(path, "old");
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 4096;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string message = storage_message([&] { chorale::write_file_atomically(path, std::string(10'000, 'y')); });
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK(message.find("File too large") != std::string::npos);
  CHECK(content_of(path) == "old");
  CHECK(entries(scratch.path()) == 1);
}
