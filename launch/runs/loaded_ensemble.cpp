#include "launch/runs/loaded_ensemble.hpp"

#include <spdlog/spdlog.h>

#include "core/base/errors.hpp"
#include "core/interop/adapter_ensemble.hpp"
#include "core/model/device.hpp"
#include "core/training/checkpoint.hpp"
#include "distributed/shared_weights.hpp"
#include "launch/training/determinism.hpp"
#include "launch/training/same_inputs.hpp"

namespace chorale {

namespace {

// The members of this rank out of all adapters, whose ranks and targets together give the bank its shape.
AdapterBank own_adapters(const ModelConfig& model, const std::vector<std::string>& directories,
                         const std::vector<std::uint32_t>& members, c10::Device device) {
  AdapterBank all = load_adapter_ensemble(model, directories, device);
  if (members.size() == directories.size()) return all;
  BankOptions options;
  options.members = members;
  options.device = device;
  AdapterBank own(model, all.config(), options);
  own.parameters().copy_(all.parameters().narrow(0, members.front(), own.member_count()));
  return own;
}

}  // namespace

LoadedEnsemble::LoadedEnsemble(const EnsembleSource& source, World& world)
    : source_(source), run_(world, source.recipe, RunPurpose::prediction) {
  for (const std::string& line : settle_determinism(source.recipe.distributed)) spdlog::info("{}", line);
  start_threads(0, world.node_size());
  world.together([&] {
    files_ = open_base(source.recipe.base.path);
    tokenizer_ = load_tokenizer(source.recipe.base.path);
  });
}

// Adapters from elsewhere have shapes of their own, which are not known yet; they are small beside the base.
MemoryNeed LoadedEnsemble::need(c10::Device device) const {
  const Recipe& recipe = source_.recipe;
  const std::int64_t parameters =
      source_.run ? AdapterLayout(files_->config(), recipe.adapter).parameters() * std::ssize(run_.members()) : 0;
  return prediction_need("prediction", recipe.base.dtype, files_->config(), !device.is_cpu(), parameters);
}

void LoadedEnsemble::load() {
  World& world = run_.world();
  const Recipe& recipe = source_.recipe;
  DecoderOptions options;
  world.together(
      [&] { options = decoder_options(recipe.base.dtype, choose_device(recipe.base.device, world.node_rank())); });
  options.shared = share_weights(can_be_shared(options), world);
  world.together([&] { check_memory(need(options.device), memory_place(options, world)); });
  run_.compute_on(options.device);
  world.on_root([&] { fingerprint_ = files_->fingerprint(); });
  fingerprint_ = world.broadcast(fingerprint_);
  check_same_base(*files_, world);
  // Adapters first: they are small, and what is wrong with them shows before gigabytes are read.
  world.together([&] {
    if (source_.run) {
      BankOptions bank;
      bank.members = run_.members();
      bank.device = options.device;
      bank_.emplace(files_->config(), recipe.adapter, bank);
      load_adapters(source_.checkpoint, fingerprint_, *bank_);
    } else {
      bank_.emplace(own_adapters(files_->config(), source_.adapters, run_.members(), options.device));
    }
    decoder_.emplace(*files_, options);
  });
  spdlog::info("{} members over {}", recipe.ensemble.members, recipe.base.path);
}

}  // namespace chorale
