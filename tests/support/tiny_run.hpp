// A whole training set-up on the tiny decoder.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <numeric>
#include <vector>

#include "core/adapters/adapter_bank.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/model/decoder.hpp"
#include "core/parallel/communicator.hpp"
#include "core/training/trainer.hpp"
#include "support/tiny_base.hpp"
#include "support/tiny_examples.hpp"

namespace chorale::test {

struct TinyRunOptions {
  TinyTask task;
  std::vector<std::uint32_t> members = {0, 1, 2};
  AdapterConfig adapter;
  TrainingConfig training;
  bool vary_data_order = true;
  bool validation = false;
  std::size_t examples = 10;
  std::size_t common = 3;
  RowBudget prefix_budget = 1U << 20U;
  at::ScalarType dtype = at::kDouble;
  at::Device device = at::kCPU;
  LinearFormat linears = LinearFormat::plain;
  const BaseFiles* base = nullptr;  // null: TinyBase; another must have its shapes
  bool record_passes = false;
  std::optional<PassSize> pass_size;
  bool random_b = true;  // false: B zero, as training starts
  TrainingObserver* observer = nullptr;
  Communicator* group = nullptr;  // null: one rank

  TinyRunOptions() {
    adapter.rank = 2;
    adapter.alpha = 3.0;
    adapter.targets = kAdapterTargets;
    adapter.layers = {1, 2};
    training.batch_size = 4;
    training.epochs = 2;
    training.learning_rate = {1e-2};
    training.schedule.kind = ScheduleKind::constant;
    training.schedule.warmup_fraction = 0.0;
    training.clip_norm = std::nullopt;
  }
};

class TinyRun {
 public:
  explicit TinyRun(const TinyRunOptions& options)
      : decoder_(options.base != nullptr ? *options.base : base_, {options.dtype, options.device, options.linears}),
        train_set_(tiny_examples(options.task, options.examples, options.common)),
        validation_set_(tiny_examples(options.task, 6, options.common, 13)),
        train_(train_set_, options.task.kind, options.task.scoring, options.device, decoder_.residual_dtype()),
        validation_(validation_set_, options.task.kind, options.task.scoring, options.device,
                    decoder_.residual_dtype()) {
    BankOptions bank;
    bank.members = options.members;
    bank.seed = 17;
    bank.dtype = options.dtype == at::kDouble ? at::kDouble : at::kFloat;
    bank.device = options.device;
    bank_ = std::make_unique<AdapterBank>(base_.config(), options.adapter, bank);
    if (options.random_b) randomise_b();
    TrainerInputs inputs;
    inputs.decoder = &decoder_;
    inputs.bank = bank_.get();
    inputs.train = &train_;
    inputs.validation = options.validation ? &validation_ : nullptr;
    inputs.training = options.training;
    inputs.vary_data_order = options.vary_data_order;
    inputs.seed = 17;
    inputs.prefix_budget = options.prefix_budget;
    inputs.record_passes = options.record_passes;
    inputs.pass_size = options.pass_size;
    inputs.group = options.group != nullptr ? options.group : &alone_;
    inputs.observer = options.observer != nullptr ? options.observer : &silent_;
    trainer_ = std::make_unique<Trainer>(inputs);
  }

  [[nodiscard]] Decoder& decoder() { return decoder_; }
  [[nodiscard]] AdapterBank& bank() { return *bank_; }
  [[nodiscard]] Trainer& trainer() { return *trainer_; }
  [[nodiscard]] const ExampleBatcher& train() const { return train_; }

 private:
  // Keyed by the member's global number, so that a member is the same in any company.
  void randomise_b() {
    for (std::int64_t m = 0; m < bank_->member_count(); ++m) {
      const std::uint32_t member = bank_->members()[static_cast<std::size_t>(m)];
      for (const AdapterSite& site : bank_->layout().sites()) {
        at::Tensor b = bank_->b(m, site);
        at::Tensor values = at::empty(b.sizes(), at::kFloat);
        RandomStream(23, member, Purpose::test, site.index)
            .fill_uniform({values.mutable_data_ptr<float>(), static_cast<std::size_t>(values.numel())}, -0.3F, 0.3F);
        b.copy_(values);
      }
    }
  }

  TinyBase base_;
  Decoder decoder_;
  ExampleSet train_set_;
  ExampleSet validation_set_;
  ExampleBatcher train_;
  ExampleBatcher validation_;
  std::unique_ptr<AdapterBank> bank_;
  SoloCommunicator alone_;
  TrainingObserver silent_;
  std::unique_ptr<Trainer> trainer_;
};

}  // namespace chorale::test
