// One pass forward and back: from a batch on the device to the adapters' gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "core/adapters/adapter_bank.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/model/decoder.hpp"
#include "core/model/recording.hpp"
#include "core/training/objective.hpp"

namespace chorale {

/// Everything a pass reads that changes from step to step.
struct PassInputs {
  at::Tensor x;  // [rows, hidden] input of the first layer that is run
  PreparedBatch prepared;
  ScoringPlan scoring;
  at::Tensor normalisers;  // [members] float64: what each member's losses are divided by
  std::int64_t step = 0;   // keys dropout
  at::Tensor device_step;  // [1] int64, the same on the device

  /// All tensors, in a fixed order.
  [[nodiscard]] std::vector<at::Tensor> tensors() const;
  /// What two passes must have in common to be the same work: shapes, and where members' rows lie.
  [[nodiscard]] std::vector<std::int64_t> shape() const;
  /// Becomes `other`, which has the same shape, with this one's tensors refilled where they are.
  void take(const PassInputs& other);
};

/// Runs passes. Where it may record, the first pass of a shape runs as it is, the second is recorded, and from then on
/// the device repeats it without the host's part. Beyond kRecordings shapes passes run as they are.
class GradientPass {
 public:
  static constexpr std::size_t kRecordings = 16;

  /// What is referred to must outlive this; the bank keeps its parameters rounded to what products read. first_layer:
  /// where `x` comes in. `record` is a wish: passes with dropout run as they are where the device does not draw the
  /// masks itself. recompute: what the backward pass makes again.
  GradientPass(const Decoder& decoder, AdapterBank& bank, const Objective& objective, std::int64_t first_layer,
               bool record, Recompute recompute = Recompute::none);

  /// Adds the pass's gradients to the bank's (the first since reset() overwrites them), and its losses to losses().
  /// Never waits for the device.
  void run(const PassInputs& inputs);

  /// [2, members] float64: cross-entropy and divergence of all passes since reset(), the same buffer always.
  [[nodiscard]] const at::Tensor& losses() const { return losses_; }
  /// From here on losses() and the bank's gradients count anew: they are those of the passes that follow. Gradients of
  /// no pass at all are whatever stands there.
  void reset();

  /// Shapes recorded so far.
  [[nodiscard]] std::size_t recordings() const { return recorded_.size(); }

 private:
  struct Recorded {
    PassInputs inputs;
    std::unique_ptr<Recording> work;
    bool ready = false;  // recorded, not only rehearsed
  };
  void compute(const PassInputs& inputs);
  // The members' losses, differentiable in what the hook is.
  [[nodiscard]] MemberLosses forward(const PassInputs& inputs, const LinearHook& hook) const;
  void add_gradients(const PassInputs& inputs);
  void write_gradients(const PassInputs& inputs);
  void add_losses(const MemberLosses& losses);

  const Decoder& decoder_;
  AdapterBank& bank_;
  const Objective& objective_;
  std::int64_t first_layer_;
  bool record_;
  Recompute recompute_;
  bool writes_;  // gradients to where they belong, instead of adding what autograd hands back
  GradientSink sink_;
  at::Tensor anchor_;  // LoraHook::send_gradients
  at::Tensor losses_;
  std::map<std::vector<std::int64_t>, Recorded> recorded_;
};

}  // namespace chorale
