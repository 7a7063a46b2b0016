#include "launch/training/run_inputs.hpp"

#include <spdlog/spdlog.h>

#include <sstream>
#include <vector>

#include "core/adapters/adapter_layout.hpp"
#include "core/model/device.hpp"
#include "distributed/shared_weights.hpp"
#include "launch/library_versions.hpp"
#include "launch/training/evaluation.hpp"
#include "launch/training/memory_check.hpp"
#include "launch/training/same_inputs.hpp"

namespace chorale {
namespace {

RunInputs read_inputs(const Recipe& recipe, const World& world) {
  RunInputs inputs;
  // Quick to find missing, so first.
  inputs.decoder = decoder_options(recipe.base.dtype, choose_device(recipe.base.device, world.node_rank()));
  inputs.base = open_base(recipe.base.path);
  const auto tokenizer = load_tokenizer(recipe.base.path);
  inputs.sets = load_data_sets(recipe, {*tokenizer, inputs.base->config().vocabulary});
  static_cast<void>(AdapterLayout(inputs.base->config(), recipe.adapter));  // refuses layers that are not there
  return inputs;
}

}  // namespace

RunInputs load_run_inputs(const Recipe& recipe, World& world) {
  RunInputs inputs;
  world.together([&] { inputs = read_inputs(recipe, world); });
  std::vector<const ExampleSet*> read = all_of(inputs.sets.evaluated);
  read.push_back(&inputs.sets.train);
  check_same_data(read, world);
  check_same_base(*inputs.base, world);
  inputs.decoder.shared = share_weights(can_be_shared(inputs.decoder), world);
  return inputs;
}

void check_memory(const Recipe& recipe, const RunInputs& inputs, const RunWorld& run) {
  World& world = run.world();
  world.together([&] {
    // The rank's share of a batch is rounded up: of several ranks the first has it.
    const std::int64_t ranks = run.group().size();
    const std::int64_t share = (recipe.training.batch_size + ranks - 1) / ranks;
    check_memory(
        training_need(recipe, inputs.base->config(), !inputs.decoder.device.is_cpu(),
                      least_rows(recipe, inputs.sets.train), static_cast<std::int64_t>(run.members().size()), share),
        memory_place(inputs.decoder, world));
  });
}

void announce(const Recipe& recipe, const RunInputs& inputs, const RunWorld& run, std::int64_t parameters,
              int threads) {
  spdlog::info("{}", library_versions_text());
  const std::string& name = inputs.base->config().name;
  spdlog::info("{} members x {} adapter parameters over {} on {}; {} {} per rank", run.placement().members, parameters,
               name.empty() ? recipe.base.path : name, inputs.decoder.device.is_cpu() ? "the CPU" : "the GPU", threads,
               threads == 1 ? "thread" : "threads");
  if (inputs.decoder.shared) {
    spdlog::info("the base is there once for the {} ranks of this machine", inputs.decoder.shared->processes);
  }
  const bool several = run.world().size() > 1;
  std::istringstream groups(
      several ? describe(run.placement()) + describe_crossings(run.placement(), run.world().nodes()) : "");
  for (std::string line; std::getline(groups, line);) spdlog::info("{}", line);
}

}  // namespace chorale
