#include "distributed/backend.hpp"

#include "core/base/errors.hpp"
#include "support/catch.hpp"

using namespace chorale;

namespace {

// Ranks 0 and 1 in one group, 2 alone, 3 and 4 in one group; `cpu`: the rank without a GPU, or -1.
std::vector<GpuIdentity> table(std::int64_t cpu) {
  std::vector<GpuIdentity> ranks = {{0, 0, "a", "GPU-0", ""},
                                    {1, 0, "a", "GPU-1", ""},
                                    {2, 2, "a", "GPU-2", ""},
                                    {3, 3, "b", "GPU-3", ""},
                                    {4, 3, "b", "GPU-4", ""}};
  if (cpu >= 0) ranks[static_cast<std::size_t>(cpu)].gpu.clear();
  return ranks;
}

std::string refusal(const std::string& wish, std::int64_t cpu, bool has_nccl) {
  try {
    static_cast<void>(choose_backend(wish, table(cpu), 0, has_nccl));
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("groups of several ranks talk over NCCL when all of them compute on GPUs", "[backend]") {
  for (const std::string wish : {"auto", "nccl"}) {
    CHECK(choose_backend(wish, table(-1), 0, true) == Backend::nccl);
    CHECK(choose_backend(wish, table(-1), 2, true) == Backend::mpi);  // alone
    CHECK(choose_backend(wish, table(-1), 3, true) == Backend::nccl);
  }
  for (std::int64_t cpu = 0; cpu < 5; ++cpu) {
    CHECK((choose_backend("auto", table(cpu), 0, true) == Backend::nccl) == (cpu > 1));
    CHECK((choose_backend("auto", table(cpu), 3, true) == Backend::nccl) == (cpu < 3));
  }
}

TEST_CASE("without NCCL, or when MPI is asked for, it is MPI", "[backend]") {
  for (const std::int64_t group : {0, 2, 3}) {
    CHECK(choose_backend("mpi", table(-1), group, true) == Backend::mpi);
    CHECK(choose_backend("mpi", table(-1), group, false) == Backend::mpi);
    CHECK(choose_backend("auto", table(-1), group, false) == Backend::mpi);
  }
}

TEST_CASE("NCCL that cannot be had is refused with the reason and a way out", "[backend]") {
  CHECK(refusal("nccl", -1, true) == "");
  CHECK(refusal("nccl", -1, false).find("built without CUDA and NCCL. Use auto or mpi") != std::string::npos);
  // Wherever the rank without a GPU is, every rank refuses for the same reason.
  for (std::int64_t cpu = 0; cpu < 5; ++cpu) {
    const std::string who = "rank " + std::to_string(cpu) + " on " + (cpu < 3 ? "a" : "b") + " computes on the CPU";
    CHECK(refusal("nccl", cpu, true).find(who) != std::string::npos);
    CHECK(refusal("nccl", cpu, true).find("Use auto or mpi") != std::string::npos);
    CHECK(refusal("mpi", cpu, true) == "");
    CHECK(refusal("auto", cpu, true) == "");
  }
}

TEST_CASE("a wish that no recipe can hold is our bug", "[backend]") {
  CHECK_THROWS_AS(choose_backend("NCCL", table(-1), 0, true), InternalError);
  CHECK_THROWS_AS(choose_backend("", table(-1), 0, true), InternalError);
}
