// What this process asks of the C library's and the kernel's memory management.
#pragma once

#include <cstdint>

namespace chorale {

/// For programs that compute with tensors, first in main: before any thread and any tensor is there.
///
/// Freed memory is kept, for the next step needs it again, and the heap comes in huge pages where the kernel has them
/// to give: faulting in pages of 4 KiB one by one takes several times as long as filling them. (Torch would ask for
/// huge pages block by block, THP_MEM_ALLOC_ENABLE, and leave more holes in the heap than it gains.)
void prepare_process_memory();

/// Bytes of memory this process has taken at most so far: resident pages, of which those that processes share (one base
/// for several ranks) count in parts, as they are shared now. 0 where the kernel does not say.
[[nodiscard]] std::uint64_t peak_process_memory();

}  // namespace chorale
