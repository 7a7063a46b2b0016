#include "core/training/base_predictions.hpp"

#include <ATen/ops/tensor.h>

#include "core/inference/predictor.hpp"

namespace chorale {

at::Tensor base_log_probabilities(const Decoder& decoder, const ExampleBatcher& batcher, std::int64_t batch_size) {
  // The whole decoder counts as frozen prefix but for its last layer, which only answer rows go through.
  Predictor predictor(decoder, batcher, decoder.config().layers - 1, batch_size, 0);
  const Predictions base = predictor.base_choices(nullptr);
  return at::tensor(base.log_probabilities, at::kFloat)
      .view({static_cast<std::int64_t>(base.examples), static_cast<std::int64_t>(base.choices)})
      .to(decoder.device());
}

}  // namespace chorale
