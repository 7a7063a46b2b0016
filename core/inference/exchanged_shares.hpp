// What each rank of a group predicts, on all of them.
#pragma once

#include <functional>
#include <vector>

#include "core/ensemble/prediction_share.hpp"
#include "core/parallel/communicator.hpp"

namespace chorale {

/// The result of every rank's `own`, by rank, on every rank of `group`. Collective. When `own` throws Preempted on any
/// of them, all ranks of the group throw it here, none waits for a share that does not come. Any other exception is
/// this rank's alone, as in every collective.
[[nodiscard]] std::vector<PredictionShare> exchange_shares(Communicator& group,
                                                           const std::function<PredictionShare()>& own);

}  // namespace chorale
