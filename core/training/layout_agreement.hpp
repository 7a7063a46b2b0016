// That the ranks of a group mean the same numbers by the same places in their buffers.
#pragma once

#include "core/adapters/adapter_bank.hpp"
#include "core/parallel/communicator.hpp"

namespace chorale {

/// Compares a digest of members, names, shapes and places of all adapters over the ranks of `group`. Collective. Throws
/// UsageError, on all ranks, naming the first rank that differs: it reads another recipe or another base.
void agree_on_layout(const AdapterBank& bank, Communicator& group);

}  // namespace chorale
