#include "core/base/process_memory.hpp"

#include <malloc.h>

#include <cstdlib>

namespace chorale {

void prepare_process_memory() {
  // The allocator gives freed blocks above a threshold straight back to the kernel, and the next step's activations
  // then fault in every page again, which costs more than some of the arithmetic.
  constexpr int kOneGiB = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kOneGiB);
  mallopt(M_TRIM_THRESHOLD, kOneGiB);
  setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);
}

}  // namespace chorale
