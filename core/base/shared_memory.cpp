#include "core/base/shared_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <new>
#include <sstream>
#include <utility>

namespace chorale {
namespace {

// More than any machine has: room is taken by what is written, not by what could be.
constexpr off_t kSize = off_t{1} << 46U;

// The kernel would answer with a signal that ends the process.
bool may_be_as_large() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
}

}  // namespace

std::optional<SharedMemory> SharedMemory::create() {
  if (!may_be_as_large()) return std::nullopt;
  Descriptor file(::memfd_create("chorale", MFD_CLOEXEC));
  if (file.get() < 0 || ::ftruncate(file.get(), kSize) != 0) return std::nullopt;
  return SharedMemory(std::move(file));
}

// Which file it is travels along, for the same number of a process means another one in another container.
std::string SharedMemory::address() const {
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0) return "";
  return fmt::format("/proc/{}/fd/{} {} {}", ::getpid(), file_.get(), status.st_dev, status.st_ino);
}

std::optional<SharedMemory> SharedMemory::open(const std::string& address) {
  std::istringstream words(address);
  std::string path;
  dev_t device = 0;
  ino_t number = 0;
  if (!(words >> path >> device >> number)) return std::nullopt;
  Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) return std::nullopt;
  const bool is_the_same = S_ISREG(status.st_mode) && status.st_dev == device && status.st_ino == number;
  if (!is_the_same || status.st_size != kSize) return std::nullopt;
  return SharedMemory(std::move(file));
}

MappedMemory SharedMemory::map(std::uint64_t offset, std::size_t bytes) const {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), static_cast<off_t>(offset));
  if (memory == MAP_FAILED) throw std::bad_alloc();
  // Most systems give shared memory small pages all the same; those that need not (shmem_enabled) are asked to.
  if (offset % kHugePage == 0 && bytes >= kHugePage) ::madvise(memory, bytes, MADV_HUGEPAGE);
  return MappedMemory({static_cast<std::byte*>(memory), bytes}, bytes);
}

std::uint64_t SharedMemory::alignment(std::size_t bytes) {
  return bytes >= kHugePage ? kHugePage : static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace chorale
