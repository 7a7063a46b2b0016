// How the ranks of a group talk once it is known where each of them computes.
#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <string>

#include "core/parallel/communicator.hpp"
#include "distributed/world.hpp"

namespace chorale {

/// `host`, this rank's group as World::split gives it, or an NCCL communicator that owns it: see choose_backend
/// (backend.hpp) for which, by distributed.backend, the devices and what was compiled in. `device` is what this rank
/// computes on. Ranks of one group that would share a GPU under NCCL are a UsageError (gpu_identity.hpp); other sharing
/// is a warning. Collective over the world; an error of any rank is thrown on all (AgreedError). The result must be
/// destroyed on all ranks of its group, before the world.
[[nodiscard]] std::unique_ptr<Communicator> make_group_communicator(World& world, std::unique_ptr<Communicator> host,
                                                                    c10::Device device, const std::string& backend);

/// "2.28.9" of the NCCL that is loaded; empty when the program was built without it.
[[nodiscard]] std::string nccl_version();

}  // namespace chorale
