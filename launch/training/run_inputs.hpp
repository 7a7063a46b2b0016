// What a run reads before it trains anything.
#pragma once

#include <cstdint>
#include <memory>

#include "core/model/decoder.hpp"
#include "core/weights/base_files.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/training/data_sets.hpp"
#include "launch/training/run_world.hpp"

namespace chorale {

/// Everything read from files, so that every mistake in them shows before training starts.
struct RunInputs {
  std::unique_ptr<BaseFiles> base;
  DataSets sets;
  DecoderOptions decoder;
};

/// Reads them and makes sure that all ranks have read the same. Collective. UsageError, InputError.
[[nodiscard]] RunInputs load_run_inputs(const Recipe& recipe, World& world);

/// Refuses (UsageError, on all ranks) a training of `run`'s members that cannot fit into this machine's memory.
/// Collective.
void check_memory(const Recipe& recipe, const RunInputs& inputs, const RunWorld& run);

/// Says at the start of a training what it is made of: the members of `run`, the base, the threads of a rank and who
/// holds whom.
void announce(const Recipe& recipe, const RunInputs& inputs, const RunWorld& run, std::int64_t parameters, int threads);

}  // namespace chorale
