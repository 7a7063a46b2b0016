#include "core/base/process_memory.hpp"

#include <malloc.h>

#include <cstdlib>
#include <fstream>
#include <string>

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

}  // namespace

void prepare_process_memory() {
  // The allocator gives freed blocks above a threshold straight back to the kernel, and the next step's activations
  // then fault in every page again, which costs more than some of the arithmetic.
  constexpr int kOneGiB = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kOneGiB);
  mallopt(M_TRIM_THRESHOLD, kOneGiB);
  setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);
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
