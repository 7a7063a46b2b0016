// Members added to a run that is finished.
#pragma once

#include "distributed/world.hpp"
#include "launch/progress/progress.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/training/run_training.hpp"

namespace chorale {

/// run_training(), and with `resume` what a run needs whose recipe asks for more members than it has: it is finished as
/// it is, then the new members alone are trained, beside it in RUN/growth, and then all of them evaluated together and
/// made one run (growth_files.hpp). Random numbers are keyed by a member's number, so that it ends as one run of all
/// members does. Whatever stops it, the same call with `resume` goes on. Collective.
[[nodiscard]] RunResult train_or_grow(const Recipe& recipe, bool resume, World& world, Progress& progress);

}  // namespace chorale
