#include "core/training/step_results.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include <utility>

namespace chorale {
namespace {

enum Row : std::int64_t { kLoss, kDivergence, kNorm, kRate, kWhatWasDone, kRows };

}  // namespace

void StepResults::add(std::int64_t step, std::vector<std::int64_t> tokens, const at::Tensor& losses,
                      const AdamWReport& report) {
  const at::Tensor update =
      at::stack({report.norms, report.coefficients.select(1, kLearningRate), report.coefficients.select(1, kAction)});
  // A copy of its own: losses and report are overwritten by the next step.
  pending_.push_back({step, std::move(tokens), at::cat({losses, update}, 0)});
}

std::vector<StepResult> StepResults::take() {
  std::vector<StepResult> results;
  if (pending_.empty()) return results;
  std::vector<at::Tensor> values;
  for (const Pending& pending : pending_) values.push_back(pending.values);
  const at::Tensor host = at::stack(values).cpu().contiguous();  // [steps, rows, members]
  const auto* value = host.const_data_ptr<double>();
  const auto members = static_cast<std::size_t>(host.size(2));
  for (Pending& pending : pending_) {
    StepResult result;
    result.step = pending.step;
    for (std::size_t m = 0; m < members; ++m) {
      const auto at_row = [&](Row row) { return value[static_cast<std::size_t>(row) * members + m]; };
      const double action = at_row(kWhatWasDone);
      result.members.push_back({at_row(kLoss), at_row(kDivergence), at_row(kNorm), at_row(kRate), action != kLeave,
                                action == kTakeAway, pending.tokens[m]});
    }
    results.push_back(std::move(result));
    value += static_cast<std::size_t>(kRows) * members;
  }
  pending_.clear();
  return results;
}

}  // namespace chorale
