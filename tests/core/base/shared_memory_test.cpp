// Memory that processes share: real processes, forked.
#include "core/base/shared_memory.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>

#include "core/base/process_memory.hpp"
#include "support/catch.hpp"

using namespace chorale;

namespace {

// Whether `part` says yes in a process of its own. It makes no checks of the test's.
bool in_another_process(const std::function<bool()>& part) {
  const pid_t child = fork();
  if (child == 0) _exit(part() ? 0 : 1);
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool all_are(std::span<const std::byte> bytes, std::byte value) {
  return std::all_of(bytes.begin(), bytes.end(), [&](std::byte byte) { return byte == value; });
}

}  // namespace

TEST_CASE("what one process writes into shared memory another reads") {
  const auto memory = SharedMemory::create();
  REQUIRE(memory);
  const std::string address = memory->address();
  const std::uint64_t page = SharedMemory::alignment(1);
  const MappedMemory first = memory->map(0, 100);
  const MappedMemory second = memory->map(page, 3 * page);
  CHECK(all_are(second.bytes(), std::byte{0}));
  std::fill(first.bytes().begin(), first.bytes().end(), std::byte{7});
  CHECK(in_another_process([&] {
    const auto found = SharedMemory::open(address);
    if (!found || !all_are(found->map(0, 100).bytes(), std::byte{7})) return false;
    const MappedMemory answer = found->map(page, 3 * page);
    std::fill(answer.bytes().begin(), answer.bytes().end(), std::byte{9});
    return true;
  }));
  CHECK(all_are(second.bytes(), std::byte{9}));  // though the process is gone
}

TEST_CASE("parts stay when the memory they were mapped from is closed") {
  auto memory = SharedMemory::create();
  REQUIRE(memory);
  const MappedMemory part = memory->map(0, 100);
  const std::string address = memory->address();
  const MappedMemory again = SharedMemory::open(address)->map(0, 100);
  memory.reset();
  part.bytes()[99] = std::byte{5};
  CHECK(again.bytes()[99] == std::byte{5});
  CHECK_FALSE(SharedMemory::open(address));
}

TEST_CASE("shared memory that is not the one meant is not opened") {
  const auto memory = SharedMemory::create();
  const auto other = SharedMemory::create();
  REQUIRE((memory && other));
  const std::string address = memory->address();
  const std::string numbers = address.substr(address.find(' '));
  const std::string other_path = other->address().substr(0, other->address().find(' '));
  for (const std::string& wrong : {std::string(), std::string("/proc"), "/nowhere" + numbers, other_path + numbers,
                                   address.substr(0, address.rfind(' '))}) {
    INFO(wrong);
    CHECK_FALSE(SharedMemory::open(wrong));
  }
  CHECK(SharedMemory::open(address));
}

TEST_CASE("where files must stay small there is no shared memory, rather than a signal") {
  CHECK(in_another_process([] {
    const rlimit small{std::uint64_t{1} << 30U, std::uint64_t{1} << 30U};
    return setrlimit(RLIMIT_FSIZE, &small) == 0 && !SharedMemory::create();
  }));
}

TEST_CASE("memory that two processes share counts as half a process's") {
  constexpr std::size_t kBytes = std::size_t{64} << 20U;
  const auto memory = SharedMemory::create();
  REQUIRE(memory);
  const auto look = [&](std::uint64_t& peak) {
    const MappedMemory part = memory->map(0, kBytes);
    std::fill(part.bytes().begin(), part.bytes().end(), std::byte{1});
    peak = peak_process_memory();
  };
  std::uint64_t alone = 0;
  look(alone);
  CHECK(alone > kBytes);
  std::array<int, 2> ready{}, over{};
  REQUIRE((pipe(ready.data()) == 0 && pipe(over.data()) == 0));
  const pid_t child = fork();
  if (child == 0) {
    const MappedMemory part = memory->map(0, kBytes);
    std::fill(part.bytes().begin(), part.bytes().end(), std::byte{2});
    char word = 'r';
    const bool told = write(ready[1], &word, 1) == 1;
    _exit(told && read(over[0], &word, 1) == 1 ? 0 : 1);
  }
  char word = 'o';
  REQUIRE(read(ready[0], &word, 1) == 1);
  std::uint64_t shared = 0;
  look(shared);
  REQUIRE(write(over[1], &word, 1) == 1);
  int status = 0;
  CHECK((waitpid(child, &status, 0) == child && status == 0));
  // The peak is the same, and half of those pages are the other's.
  CHECK(static_cast<double>(shared) == Approx(static_cast<double>(alone) - kBytes / 2.0).margin(4e6));
  for (const int end : {ready[0], ready[1], over[0], over[1]}) close(end);
}

TEST_CASE("memory in huge pages is whole, zero and where huge pages begin") {
  constexpr std::size_t kBytes = (std::size_t{5} << 20U) + 123;
  const MappedMemory memory = MappedMemory::in_huge_pages(kBytes);
  CHECK(memory.bytes().size() == kBytes);
  CHECK(reinterpret_cast<std::uintptr_t>(memory.bytes().data()) % kHugePage == 0);
  CHECK(all_are(memory.bytes(), std::byte{0}));
  std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{3});
  CHECK(all_are(memory.bytes(), std::byte{3}));
}
