// What the base model predicts without adapters: the anchor of the KL regulariser.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/inference/example_batcher.hpp"
#include "core/model/decoder.hpp"
#include "core/parallel/communicator.hpp"

namespace chorale {

/// Log-probabilities of the base over the scored classes for every example: [examples, choices] float32 on the
/// decoder's device, -inf for choices an example lacks. Multiple choice only. Collective: every rank of `group`
/// computes a part. Preempted on all ranks when one of them is asked to stop.
[[nodiscard]] at::Tensor base_log_probabilities(const Decoder& decoder, const ExampleBatcher& batcher,
                                                std::int64_t batch_size, Communicator& group);

}  // namespace chorale
