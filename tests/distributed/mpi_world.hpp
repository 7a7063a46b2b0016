// The world the MPI tests run in: started by their main, before Catch2.
#pragma once

#include "distributed/world.hpp"

namespace chorale::test {

World& world();

}  // namespace chorale::test
