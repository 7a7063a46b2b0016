#include "core/base/process_memory.hpp"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <string>

#include "core/base/mapped_memory.hpp"

namespace chorale {
namespace {

// The value of a line "Name:   123 kB" in a file of /proc, in bytes; 0 when there is none.
std::uint64_t bytes_in(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name)) return std::stoull(line.substr(name.size())) * 1024;
  }
  return 0;
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kHeapIsGlibcs = false;  // but the sanitizer's, which shadows every address
#else
constexpr bool kHeapIsGlibcs = true;
#endif

// Whether addresses cost nothing until they are used: not where their number is limited, nor where the kernel sets
// memory aside for all of them.
bool addresses_are_free() {
  for (const auto what : {RLIMIT_AS, RLIMIT_DATA}) {
    rlimit limit{};
    if (::getrlimit(what, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY) return false;
  }
  constexpr int kStrict = 2;  // see proc(5)
  int accounting = kStrict;
  std::ifstream("/proc/sys/vm/overcommit_memory") >> accounting;
  return accounting != kStrict;
}

// Lets the heap grow at once to where it will end, and asks for huge pages there. Memory is taken when it is used.
void make_heap_of_huge_pages() {
  constexpr std::size_t kMost = std::size_t{64} << 30U;
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page = ::sysconf(_SC_PAGE_SIZE);
  if (pages <= 0 || page <= 0) return;
  const std::size_t size = std::min(kMost, static_cast<std::size_t>(pages) / 2 * static_cast<std::size_t>(page));
  void* room = std::malloc(size);
  if (room == nullptr) return;
  const auto begin = (reinterpret_cast<std::uintptr_t>(room) + kHugePage - 1) / kHugePage * kHugePage;
  const auto end = (reinterpret_cast<std::uintptr_t>(room) + size) / kHugePage * kHugePage;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  std::free(room);  // to the end of the heap, which keeps it
}

}  // namespace

void prepare_process_memory() {
  // The allocator gives freed blocks above a threshold straight back to the kernel, and the next step's activations
  // then fault in every page again, which costs more than some of the arithmetic.
  mallopt(M_TRIM_THRESHOLD, -1);
  if (kHeapIsGlibcs && addresses_are_free()) {
    constexpr int kUsual = 65536;
    mallopt(M_MMAP_MAX, 0);
    make_heap_of_huge_pages();
    mallopt(M_MMAP_MAX, kUsual);
  }
  constexpr int kOneGiB = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kOneGiB);
}

std::uint64_t peak_process_memory() {
  const std::uint64_t peak = bytes_in("/proc/self/status", "VmHWM:");
  const std::uint64_t shared = bytes_in("/proc/self/status", "RssShmem:");
  // The kernel looks at every page for this, which takes milliseconds: only where it matters.
  constexpr std::uint64_t kLittle = std::uint64_t{1} << 24U;
  if (shared < kLittle) return peak;
  const std::uint64_t own_part = bytes_in("/proc/self/smaps_rollup", "Pss_Shmem:");
  return own_part == 0 || own_part > shared ? peak : peak - (shared - own_part);
}

}  // namespace chorale
