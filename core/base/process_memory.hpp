// What this process asks of the C library's and the kernel's memory management.
#pragma once

namespace chorale {

/// For programs that compute with tensors, first in main: before any thread and any tensor is there.
///
/// Freed memory is kept, for the next step needs it again, and new memory of more than 2 MB comes in huge pages where
/// the kernel has them to give: faulting in pages of 4 KiB one by one takes several times as long as filling them.
/// Torch does the latter itself when it is asked (THP_MEM_ALLOC_ENABLE; a value the user has set stands).
void prepare_process_memory();

}  // namespace chorale
