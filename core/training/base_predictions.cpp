#include "core/training/base_predictions.hpp"

#include <ATen/ops/tensor.h>

#include "core/inference/exchanged_shares.hpp"
#include "core/inference/predictor.hpp"

namespace chorale {

at::Tensor base_log_probabilities(const Decoder& decoder, const ExampleBatcher& batcher, std::int64_t batch_size,
                                  Communicator& group) {
  // The whole decoder counts as frozen prefix but for its last layer, which only answer rows go through.
  Predictor predictor(decoder, batcher, decoder.config().layers - 1, batch_size, 0,
                      share_of(batcher.size(), group.rank(), group.size()));
  const std::vector<PredictionShare> shares = exchange_shares(group, [&] { return predictor.base_share(nullptr); });
  const CellShape shape = cell_shape(batcher);
  const std::vector<std::uint32_t> base = {0};
  return at::tensor(assemble(shares, base, shape.cells, shape.width), at::kFloat)
      .view({static_cast<std::int64_t>(shape.cells), static_cast<std::int64_t>(shape.width)})
      .to(decoder.device());
}

}  // namespace chorale
