// Catch2 on one or more ranks, each with a GPU. Rank 0 prints one line per test case as it ends: PASSED, FAILED or
// SKIPPED and its name; a case passes when it does on every rank. Reports of failing ranks follow at the end. Returns 1
// on every rank when anything failed.
#define CATCH_CONFIG_RUNNER
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include "support/catch.hpp"

#include <ATen/detail/CUDAHooksInterface.h>
#include <fmt/format.h>

#include <cstdio>
#include <stdexcept>

#include "core/base/errors.hpp"
#include "core/model/device.hpp"
#include "gpu/gpu_world.hpp"
#include "support/scratch_directory.hpp"

namespace chorale::test {
namespace {

#if CHORALE_CATCH_MAJOR >= 3
using ListenerBase = Catch::EventListenerBase;
const std::string& name_of(const Catch::TestCaseStats& stats) {
  return stats.testInfo->name;
}
#else
using ListenerBase = Catch::TestEventListenerBase;
const std::string& name_of(const Catch::TestCaseStats& stats) {
  return stats.testInfo.name;
}
#endif

struct State {
  World* world = nullptr;
  c10::Device gpu = c10::kCPU;
  std::string missing;  // why there is no GPU; empty when every rank has one
  bool skipped = false;
};
State state;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): Catch2 hands nothing to its test cases

class Announcer : public ListenerBase {
 public:
  using ListenerBase::ListenerBase;

  void testCaseStarting(const Catch::TestCaseInfo& /*info*/) override { state.skipped = false; }

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    const std::string mine(stats.totals.assertions.failed > 0 ? "f" : "p");
    std::string failed;
    const auto all = world().gather(std::as_bytes(std::span(mine)));
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      if (all[rank].front() == std::byte{'f'}) failed += fmt::format(" {}", rank);
    }
    if (!world().is_root()) return;
    if (!failed.empty()) {
      fmt::print("FAILED: {} (rank{})\n", name_of(stats), failed);
    } else if (state.skipped) {
      fmt::print("SKIPPED: {} ({})\n", name_of(stats), state.missing);
    } else {
      fmt::print("PASSED: {}\n", name_of(stats));
    }
    std::fflush(stdout);
  }
};
CATCH_REGISTER_LISTENER(Announcer)

// The GPU of this rank, unless some rank has none.
void choose_gpus() {
  std::string reason;
  try {
    state.gpu = choose_device("cuda", world().node_rank());
  } catch (const UsageError& error) {
    reason = error.what();
  }
  for (const auto& bytes : world().everyone().all_gather(std::as_bytes(std::span(reason)))) {
    if (state.missing.empty()) state.missing.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
}

int run_tests(int argc, char** argv) {
  choose_gpus();
  const ScratchDirectory scratch;
  const std::string report = scratch.file("report");
  Catch::Session session;
  std::vector<const char*> arguments(argv, argv + argc);
  arguments.insert(arguments.end(), {"--out", report.c_str()});
  int result = session.applyCommandLine(static_cast<int>(arguments.size()), arguments.data());
  if (result == 0) result = session.run();
  if (result != 0) fmt::print("rank {} of {}:\n{}\n", world().rank(), world().size(), content_of(report));
  std::fflush(stdout);
  const std::string mine(result == 0 ? "" : "f");
  bool failed = false;
  for (const auto& bytes : world().everyone().all_gather(std::as_bytes(std::span(mine)))) failed |= !bytes.empty();
  return failed ? 1 : 0;
}

}  // namespace

World& world() {
  if (state.world == nullptr) throw std::logic_error("the world is not there yet");
  return *state.world;
}

c10::Device gpu() {
  return state.gpu;
}

std::int64_t visible_gpus() {
  return at::detail::getCUDAHooks().deviceCount();
}

bool has_gpus() {
  state.skipped = state.skipped || !state.missing.empty();
  return state.missing.empty();
}

}  // namespace chorale::test

int main(int argc, char** argv) {
  chorale::World world = chorale::World::start();
  chorale::test::state.world = &world;
  chorale::start_threads(1);
  return chorale::test::run_tests(argc, argv);
}
