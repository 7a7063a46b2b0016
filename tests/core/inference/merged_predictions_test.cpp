// Predictions with adapters merged into the weights: the same as beside them, and chosen where they are less work.
#include "core/inference/merging.hpp"

#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/device_step_cases.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

std::vector<float> values_of(TinyRun& run, Merging when, std::size_t* last_progress = nullptr) {
  const std::int64_t lowest = run.bank().layout().lowest_layer();
  Predictor predictor(run.decoder(), run.train(), lowest, 3, 0);
  predictor.merge(when, kNoLimit);
  CHECK(predictor.merges(run.bank()) == (when == Merging::always));
  std::size_t before = 0;
  const PredictionShare share = predictor.share(run.bank(), [&](std::size_t done) {
    CHECK(done >= before);
    before = done;
  });
  if (last_progress != nullptr) *last_progress = before;
  CHECK(share.members == run.bank().members());
  return share.values;
}

// Mean and largest difference of what is finite.
std::pair<double, double> differences(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double sum = 0.0;
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isinf(b[i])) {
      CHECK(a[i] == b[i]);
      continue;
    }
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    sum += difference;
    largest = std::max(largest, difference);
  }
  return {sum / static_cast<double>(a.size()), largest};
}

}  // namespace

TEST_CASE("merged adapters predict what adapters beside the weights predict") {
  for (const TinyTask& task : kDeviceTasks) {
    for (const std::vector<std::string>& targets :
         {kAdapterTargets, std::vector<std::string>{"q_proj", "v_proj"}, std::vector<std::string>{"up_proj"}}) {
      TinyRunOptions options;
      options.task = task;
      options.adapter.targets = targets;
      options.adapter.scaling = AdapterScaling::rank_stabilised;
      options.adapter.dropout = 0.5;  // off in predictions
      options.dtype = at::kFloat;
      TinyRun run(options);
      std::size_t done = 0;
      const std::vector<float> merged = values_of(run, Merging::always, &done);
      CHECK(done == run.train().size());
      CHECK(differences(merged, values_of(run, Merging::never)).second < 2e-5);
      // And it is the members that were merged: they differ from each other.
      const auto member = static_cast<std::ptrdiff_t>(merged.size() / 3);
      CHECK(
          differences({merged.begin(), merged.begin() + member}, {merged.begin() + member, merged.begin() + 2 * member})
              .first > 1e-3);
    }
  }
}

TEST_CASE("in bfloat16 merging is as near to float64 as adapters beside the weights are") {
  TinyRunOptions options;
  options.dtype = at::kDouble;
  TinyRun exact(options);
  options.dtype = at::kBFloat16;
  TinyRun rounded(options);
  const std::vector<float> expected = values_of(exact, Merging::never);
  const double beside = differences(values_of(rounded, Merging::never), expected).first;
  const double merged = differences(values_of(rounded, Merging::always), expected).first;
  INFO("beside " << beside << ", merged " << merged);
  CHECK(beside > 0.0);
  CHECK(merged < 1.5 * beside);
}

TEST_CASE("weights held in fewer bits, and weights too large for the budget, are not merged") {
  TinyRunOptions options;
  options.dtype = at::kFloat;
  TinyRun run(options);
  Predictor predictor(run.decoder(), run.train(), 0, 3, 0);
  const std::uint64_t bytes = merged_bytes(run.bank().layout(), 4);
  predictor.merge(Merging::always, bytes - 1);
  CHECK_FALSE(predictor.merges(run.bank()));
  predictor.merge(Merging::always, bytes);
  CHECK(predictor.merges(run.bank()));
  predictor.merge(Merging::never, bytes);
  CHECK_FALSE(predictor.merges(run.bank()));
  options.linears = LinearFormat::nf4;
  TinyRun compact(options);
  Predictor other(compact.decoder(), compact.train(), 0, 3, 0);
  other.merge(Merging::always, kNoLimit);
  CHECK_FALSE(other.merges(compact.bank()));
}

TEST_CASE("merging pays for many rows, unless a frozen prefix has to run again for every member") {
  ModelConfig model;  // SmolLM2-135M's
  model.hidden = 576;
  model.layers = 30;
  model.heads = 9;
  model.kv_heads = 3;
  model.head_dim = 64;
  model.feed_forward = 1536;
  AdapterConfig adapter;
  adapter.targets = kAdapterTargets;
  for (std::int64_t layer = 20; layer < 30; ++layer) adapter.layers.push_back(layer);
  const AdapterLayout layout(model, adapter);
  for (const auto& [on_gpu, streams] : {std::pair(false, false), std::pair(false, true), std::pair(true, true)}) {
    PredictionWork work{.members = 4, .rows = 10, .on_gpu = on_gpu, .streams_again = streams};
    const auto cost = [&] { return adapter_cost(model, layout, adapter.rank, work); };
    CHECK(cost().merged > cost().beside);
    const double once = cost().merged;
    work.rows = 1'000'000;
    CHECK(cost().merged == once);  // however many rows
    CHECK(cost().merged < cost().beside);
    work.layers_again = 20;
    CHECK(cost().merged > cost().beside);
    work.members = 1;  // alone it runs the prefix once in any case
    CHECK(cost().merged < cost().beside);
  }
}
