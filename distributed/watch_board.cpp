#include "distributed/watch_board.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ctime>
#include <memory>
#include <new>
#include <random>

#include "core/base/descriptor.hpp"
#include "core/base/errors.hpp"

namespace chorale {

namespace {

// Who speaks stands first, the slots behind it.
constexpr std::size_t kSlotsAt = 64;
static_assert(kSlotsAt % alignof(WatchSlot) == 0 && sizeof(std::atomic<int>) <= kSlotsAt, "room and alignment");

std::size_t bytes_for(std::size_t processes) {
  return kSlotsAt + processes * sizeof(WatchSlot);
}

WatchSlot* first_slot(void* memory) {
  return reinterpret_cast<WatchSlot*>(static_cast<std::byte*>(memory) + kSlotsAt);
}

void construct(void* memory, std::size_t processes) {
  new (memory) std::atomic<int>(0);
  std::uninitialized_default_construct_n(first_slot(memory), processes);
}

void* map(std::size_t bytes, int file) {
  const int kind = file >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kind, file, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

std::string_view name_of(Collective collective) {
  switch (collective) {
    case Collective::none:
      return "";
    case Collective::agreement:
      return "the agreement on an outcome";
    case Collective::broadcast:
      return "a broadcast";
    case Collective::gathering:
      return "a gathering";
    case Collective::sum:
      return "a sum over the ranks";
    case Collective::split:
      return "the split into groups";
    case Collective::reduction:
      return "the meeting between two steps";
    case Collective::end:
      return "the end of MPI";
  }
  return "";
}

double watch_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

WatchBoard::WatchBoard() {
  map_privately();
}

std::string WatchBoard::create(std::size_t processes) {
  std::random_device random;
  std::string name = fmt::format("/chorale-{}-{:08x}", ::getpid(), random());
  const Descriptor file(::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) return "";
  const std::size_t bytes = bytes_for(processes);
  // Unlike ftruncate this fails at once where the memory is not there, and not by a signal at the first touch.
  void* memory = ::posix_fallocate(file.get(), 0, static_cast<off_t>(bytes)) == 0 ? map(bytes, file.get()) : nullptr;
  if (memory == nullptr) {
    forget(name);
    return "";
  }
  construct(memory, processes);
  ::munmap(memory, bytes);
  return name;
}

void WatchBoard::forget(const std::string& name) {
  if (!name.empty()) static_cast<void>(::shm_unlink(name.c_str()));
}

WatchBoard::WatchBoard(const std::string& name, std::size_t processes) {
  const Descriptor file(name.empty() ? -1 : ::shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0600));
  void* memory = file.get() < 0 ? nullptr : map(bytes_for(processes), file.get());
  if (memory == nullptr) {
    map_privately();
  } else {
    take(memory, processes);
  }
}

void WatchBoard::map_privately() {
  void* memory = map(bytes_for(1), -1);
  if (memory == nullptr) throw std::bad_alloc();
  construct(memory, 1);
  take(memory, 1);
}

void WatchBoard::take(void* memory, std::size_t processes) {
  memory_ = memory;
  bytes_ = bytes_for(processes);
  spoken_ = static_cast<std::atomic<int>*>(memory);
  slots_ = {first_slot(memory), processes};
}

WatchBoard::~WatchBoard() {
  ::munmap(memory_, bytes_);
}

bool WatchBoard::claim_the_word() {
  int nobody = 0;
  return spoken_->compare_exchange_strong(nobody, 1);
}

}  // namespace chorale
