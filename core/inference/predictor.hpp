// Members' predictions for a whole set.
#pragma once

#include <cstdint>
#include <functional>

#include "core/adapters/adapter_bank.hpp"
#include "core/ensemble/predictions.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/inference/frozen_prefix.hpp"
#include "core/inference/scores.hpp"
#include "core/model/decoder.hpp"

namespace chorale {

/// Evaluates all members of a bank on one set, batch by batch in the set's order, dropout off. Layers below the lowest
/// adapter run once for all members.
class Predictor {
 public:
  /// Called after each batch with the number of examples done.
  using Progress = std::function<void(std::size_t)>;

  /// `prefix_budget`: bytes the set may keep of its frozen prefix between calls (0 for sets visited once).
  Predictor(const Decoder& decoder, const ExampleBatcher& batcher, std::int64_t lowest_layer, std::int64_t batch_size,
            std::uint64_t prefix_budget);

  /// Multiple choice: log-probabilities of every member.
  [[nodiscard]] Predictions choices(const AdapterBank& bank, const Progress& progress);
  /// The base without adapters, as one member.
  [[nodiscard]] Predictions base_choices(const Progress& progress);
  /// Completion: log-likelihood of every answer token.
  [[nodiscard]] TokenPredictions tokens(const AdapterBank& bank, const Progress& progress);

 private:
  [[nodiscard]] at::Tensor hidden(const ExampleBatch& batch, const LinearHook* hook);
  [[nodiscard]] Predictions run_choices(const LinearHook* hook, std::int64_t members, const Progress& progress);

  const Decoder& decoder_;
  const ExampleBatcher& batcher_;
  std::int64_t batch_size_;
  FrozenPrefix prefix_;
  Scorer scorer_;
};

}  // namespace chorale
