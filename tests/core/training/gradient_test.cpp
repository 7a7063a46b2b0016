// Gradients of whole training steps in float64: against finite differences, and invariant where they must be.
#include "support/catch.hpp"
#include "support/tensors.hpp"
#include "support/tiny_objectives.hpp"
#include "support/tiny_run.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

double total_loss(Trainer& trainer, double weight) {
  const Trainer::Gradients result = trainer.compute_gradients(0);
  double total = 0.0;
  for (std::size_t m = 0; m < result.loss.size(); ++m) total += result.loss[m] + weight * result.divergence[m];
  return total;
}

at::Tensor gradients_of(const TinyRunOptions& options, std::int64_t step = 0) {
  TinyRun run(options);
  run.trainer().compute_gradients(step);
  return run.bank().gradients().clone();
}

}  // namespace

TEST_CASE("gradients of a training step equal finite differences for every objective") {
  for (const ObjectiveCase& test : kObjectives) {
    INFO(test.name);
    TinyRunOptions options;
    options.task = test.task;
    options.training.kl_to_base = test.kl;
    TinyRun run(options);
    const double weight = test.kl ? test.kl->weight : 0.0;
    total_loss(run.trainer(), weight);
    const at::Tensor analytic = run.bank().gradients().clone();
    at::Tensor flat = run.bank().parameters().view({-1});
    double worst = 0.0;
    // Every 37th parameter: all members, layers, linears and both factors come up (37 divides none of the sizes).
    for (std::int64_t i = 0; i < flat.numel(); i += 37) {
      auto* value = flat.mutable_data_ptr<double>() + i;
      const double here = *value;
      *value = here + 1e-5;
      const double above = total_loss(run.trainer(), weight);
      *value = here - 1e-5;
      const double below = total_loss(run.trainer(), weight);
      *value = here;
      worst = std::max(worst, std::abs((above - below) / 2e-5 - analytic.view({-1})[i].item<double>()));
    }
    CHECK(worst < 1e-8);
    CHECK(analytic.abs().max().item<double>() > 1e-2);
  }
}

TEST_CASE("micro-batches add up to the whole batch") {
  for (const ObjectiveCase& test : kObjectives) {
    INFO(test.name);
    TinyRunOptions options;
    options.task = test.task;
    options.training.kl_to_base = test.kl;
    options.training.micro_batch_size = 4;
    const at::Tensor whole = gradients_of(options);
    for (const std::int64_t micro : {1, 3}) {
      options.training.micro_batch_size = micro;
      CHECK(difference(gradients_of(options), whole) < 1e-13);
    }
  }
}

TEST_CASE("a member's gradient does not depend on its company") {
  for (const ObjectiveCase& test : kObjectives) {
    INFO(test.name);
    TinyRunOptions options;
    options.task = test.task;
    options.training.kl_to_base = test.kl;
    const at::Tensor together = gradients_of(options);
    for (std::uint32_t member = 0; member < 3; ++member) {
      options.members = {member};
      CHECK(difference(gradients_of(options)[0], together[member]) < 1e-13);
    }
  }
}

TEST_CASE("sharing a common prefix or the same batch changes nothing but rounding") {
  TinyRunOptions options;
  options.vary_data_order = false;
  const at::Tensor shared = gradients_of(options);
  CHECK(shared.isfinite().all().item<bool>());
  // Members see the same batch: member 0's gradient equals the one it has when every member has an order of its own.
  options.vary_data_order = true;
  CHECK(difference(gradients_of(options)[0], shared[0]) < 1e-13);
}

TEST_CASE("adapters in every layer and in one linear alone give correct gradients too") {
  for (const std::vector<std::string>& targets :
       {std::vector<std::string>{"q_proj", "v_proj"}, std::vector<std::string>{"down_proj"},
        std::vector<std::string>{"k_proj", "up_proj"}}) {
    TinyRunOptions options;
    options.adapter.targets = targets;
    options.adapter.layers = {};
    options.task.scoring = Scoring::option_likelihood;
    TinyRun run(options);
    total_loss(run.trainer(), 0.0);
    const at::Tensor analytic = run.bank().gradients().clone();
    at::Tensor flat = run.bank().parameters().view({-1});
    double worst = 0.0;
    for (std::int64_t i = 0; i < flat.numel(); i += 23) {
      auto* value = flat.mutable_data_ptr<double>() + i;
      const double here = *value;
      *value = here + 1e-5;
      const double above = total_loss(run.trainer(), 0.0);
      *value = here - 1e-5;
      const double below = total_loss(run.trainer(), 0.0);
      *value = here;
      worst = std::max(worst, std::abs((above - below) / 2e-5 - analytic.view({-1})[i].item<double>()));
    }
    CHECK(worst < 1e-8);
  }
}
