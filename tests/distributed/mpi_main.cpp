// Catch2 on every rank. All ranks run the same tests in the same order; a rank's report is kept in a file and shown
// when one of its tests failed. Rank 0 shows its own in any case. Any failing rank makes every rank return 1, so the
// launcher does.
#define CATCH_CONFIG_RUNNER
#include "distributed/mpi_world.hpp"
#include "support/catch.hpp"

#include <ATen/ops/full.h>
#include <fmt/format.h>

#include <cstdio>
#include <stdexcept>

#include "support/scratch_directory.hpp"

namespace chorale::test {
namespace {

World* the_world = nullptr;

int run_tests(int argc, char** argv) {
  const ScratchDirectory scratch;
  const std::string report = scratch.file("report");
  Catch::Session session;
  std::vector<const char*> arguments(argv, argv + argc);
  arguments.insert(arguments.end(), {"--out", report.c_str()});
  int result = session.applyCommandLine(static_cast<int>(arguments.size()), arguments.data());
  if (result == 0) result = session.run();
  if (result != 0 || world().is_root()) {
    const std::string head = fmt::format("rank {} of {}:\n", world().rank(), world().size());
    std::fputs((head + content_of(report)).c_str(), stdout);
  }
  at::Tensor failed = at::full({1}, result == 0 ? 0.0 : 1.0, at::kDouble);
  world().everyone().all_reduce_sum(failed);
  return *failed.const_data_ptr<double>() > 0.0 ? 1 : 0;
}

}  // namespace

World& world() {
  if (the_world == nullptr) throw std::logic_error("the world is not there yet");
  return *the_world;
}

}  // namespace chorale::test

int main(int argc, char** argv) {
  chorale::World world = chorale::World::start();
  chorale::test::the_world = &world;
  return chorale::test::run_tests(argc, argv);
}
