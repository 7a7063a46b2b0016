#include "core/storage/run_lock.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "core/base/errors.hpp"
#include "support/catch.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using test::contains;
using test::content_of;
using test::ScratchDirectory;
using test::write_content;

namespace {

std::string usage_error_of(const std::string& directory) {
  try {
    const RunLock lock(directory);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no UsageError";
}

std::string host() {
  std::array<char, 256> name{};
  REQUIRE(::gethostname(name.data(), name.size() - 1) == 0);
  return name.data();
}

// The number of a process that has ended.
pid_t dead_process() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  return child;
}

}  // namespace

TEST_CASE("a lock says who holds it, refuses a second one and is empty after an orderly end") {
  const ScratchDirectory run;
  const std::string directory = run.path().string();
  {
    const RunLock lock(directory);
    CHECK(lock.note().empty());
    const std::string text = content_of(run.file(".lock"));
    CHECK(text.starts_with("host " + host() + ", process " + std::to_string(::getpid()) + ", since 20"));
    CHECK(text.ends_with("Z\n"));
    const std::string refusal = usage_error_of(directory);
    CHECK_THAT(refusal, contains(directory) && contains("process " + std::to_string(::getpid())) &&
                            contains("host " + host()) && contains("Wait for it to end"));
    CHECK(content_of(run.file(".lock")) == text);  // the refused one has changed nothing
  }
  CHECK(content_of(run.file(".lock")).empty());
  CHECK(usage_error_of(directory) == "no UsageError");
}

TEST_CASE("a lock moves with its value") {
  const ScratchDirectory run;
  const std::string directory = run.path().string();
  RunLock first(directory);
  {
    const RunLock second(std::move(first));
    CHECK_FALSE(content_of(run.file(".lock")).empty());
    CHECK(usage_error_of(directory) != "no UsageError");
  }
  CHECK(content_of(run.file(".lock")).empty());
}

TEST_CASE("a text whose process no longer holds the lock is taken over, another host's with a note") {
  const ScratchDirectory run;
  const std::string directory = run.path().string();
  const std::string dead = std::to_string(dead_process());
  const auto note_after = [&](const std::string& text) {
    write_content(run.file(".lock"), text);
    const RunLock lock(directory);
    CHECK(content_of(run.file(".lock")).starts_with("host " + host()));
    return lock.note();
  };
  CHECK(note_after("host " + host() + ", process " + dead + ", since 2026-01-02T03:04:05Z\n").empty());
  CHECK(note_after("host " + host() + ", proc").empty());
  CHECK(note_after(std::string(5000, 'x')).empty());
  CHECK_THAT(note_after("host elsewhere, process 12, since 2026-01-02T03:04:05Z\n"),
             contains("process 12 on host elsewhere since 2026-01-02T03:04:05Z"));
}

TEST_CASE("a lock needs its directory") {
  const ScratchDirectory run;
  CHECK_THROWS_AS(RunLock(run.file("absent")), StorageError);
}
