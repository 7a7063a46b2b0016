// What a group talks over where ranks compute on the CPU; tests/gpu has the rest.
#include "distributed/group_communicator.hpp"

#include <ATen/ATen.h>

#include "distributed/mpi_world.hpp"
#include "support/catch.hpp"

using namespace chorale;
using chorale::test::world;

TEST_CASE("a group on the CPU keeps the communicator it has") {
  for (const std::string backend : {"auto", "mpi"}) {
    for (const std::int64_t colour : {std::int64_t{0}, world().rank()}) {
      auto host = world().split(colour);
      const Communicator* before = host.get();
      const auto group = make_group_communicator(world(), std::move(host), at::kCPU, backend);
      CHECK(group.get() == before);
      at::Tensor sum = at::full({3}, static_cast<double>(world().rank() + 1), at::kDouble);
      group->all_reduce_sum(sum);
      const std::int64_t ranks = world().size();
      const std::int64_t expected = colour == 0 && group->size() > 1 ? ranks * (ranks + 1) / 2 : world().rank() + 1;
      CHECK(sum[0].item<double>() == static_cast<double>(expected));
    }
  }
}

TEST_CASE("NCCL on the CPU is refused on every rank, by a message of the lowest") {
  std::string message;
  try {
    static_cast<void>(make_group_communicator(world(), world().split(0), at::kCPU, "nccl"));
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::usage);
    message = error.what();
  }
  INFO(message);
  CHECK(message.find("distributed.backend: nccl was asked for, but ") == 0);
  CHECK(message.find(nccl_version().empty() ? "built without CUDA and NCCL" : "rank 0 on " + world().host()) !=
        std::string::npos);
  CHECK(message.find("Use auto or mpi") != std::string::npos);
}
