// MpiCommunicator against plain arithmetic, with messages of every size around the largest piece.
#include "distributed/mpi_communicator.hpp"

#include <ATen/ATen.h>

#include <cstring>
#include <limits>
#include <numeric>

#include "distributed/mpi_error.hpp"
#include "distributed/mpi_world.hpp"
#include "support/catch.hpp"

using namespace chorale;
using chorale::test::world;

namespace {

MpiCommunicator communicator(std::int64_t chunk = mpi::kLargestMessage) {
  return MpiCommunicator(mpi::duplicate(MPI_COMM_WORLD), Circle::world, chunk);
}

// What rank `rank` holds at `index`: whole numbers, whose sums are exact in any order.
double value(std::int64_t rank, std::int64_t index) {
  return static_cast<double>((rank + 1) * 1000 + index * 7 % 101);
}

at::Tensor values(std::int64_t rank, std::int64_t count, at::ScalarType type) {
  at::Tensor tensor = at::empty({count}, at::kDouble);
  for (std::int64_t i = 0; i < count; ++i) tensor.mutable_data_ptr<double>()[i] = value(rank, i);
  return tensor.to(type);
}

std::vector<std::byte> bytes_of_rank(std::int64_t rank, std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(static_cast<std::size_t>(rank) * 31 + i);
  return bytes;
}

}  // namespace

TEST_CASE("sums over the ranks are those of plain arithmetic, whatever the pieces") {
  for (const std::int64_t chunk : {std::int64_t{1}, std::int64_t{7}, mpi::kLargestMessage}) {
    MpiCommunicator group = communicator(chunk);
    CHECK(group.rank() == world().rank());
    CHECK(group.size() == world().size());
    std::uint64_t bytes = 0;
    for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
      for (const std::int64_t count : {0, 1, 6, 7, 8, 14, 100}) {
        at::Tensor tensor = values(world().rank(), count, type);
        at::Tensor expected = at::zeros({count}, type);
        for (std::int64_t rank = 0; rank < world().size(); ++rank) expected += values(rank, count, type);
        const void* place = tensor.const_data_ptr();
        group.all_reduce_sum(tensor);
        INFO("chunk " << chunk << ", " << count << " elements");
        CHECK(at::equal(tensor, expected));
        CHECK(tensor.const_data_ptr() == place);
        bytes += static_cast<std::uint64_t>(count) * (type == at::kFloat ? 4 : 8);
      }
    }
    CHECK(group.reduced_bytes() == bytes);
  }
}

TEST_CASE("a sum that rounds has the same bits on every rank, again and again") {
  MpiCommunicator group = communicator();
  at::Tensor first;
  for (int repeat = 0; repeat < 3; ++repeat) {
    at::Tensor tensor =
        at::arange(1, 20001, at::kFloat).reciprocal().mul_(static_cast<double>(world().rank() + 1) / 3.0);
    group.all_reduce_sum(tensor);
    const auto* data = static_cast<const std::byte*>(tensor.const_data_ptr());
    const auto all = group.all_gather({data, tensor.nbytes()});
    for (const auto& other : all) CHECK(std::memcmp(other.data(), data, other.size()) == 0);
    if (repeat == 0) first = tensor.clone();
    CHECK(at::equal(tensor, first));
  }
}

TEST_CASE("a sum of what is not finite stays so on every rank") {
  MpiCommunicator group = communicator();
  at::Tensor tensor = at::zeros({3}, at::kFloat);
  if (world().rank() == world().size() - 1) {
    tensor[0] = std::numeric_limits<float>::quiet_NaN();
    tensor[1] = std::numeric_limits<float>::infinity();
  }
  group.all_reduce_sum(tensor);
  CHECK(tensor[0].isnan().item<bool>());
  CHECK(tensor[1].isinf().item<bool>());
  CHECK(tensor[2].item<float>() == 0.0F);
}

TEST_CASE("a broadcast gives every rank the root's tensor, of any type and from any root") {
  for (const std::int64_t chunk : {std::int64_t{7}, mpi::kLargestMessage}) {
    MpiCommunicator group = communicator(chunk);
    for (std::int64_t root = 0; root < world().size(); ++root) {
      for (const at::ScalarType type : {at::kByte, at::kInt, at::kLong, at::kFloat, at::kBFloat16}) {
        for (const std::int64_t count : {0, 1, 7, 29}) {
          at::Tensor tensor = values(world().rank(), count, type).reshape({count, 1});
          group.broadcast(tensor, root);
          CHECK(at::equal(tensor, values(root, count, type).reshape({count, 1})));
        }
      }
    }
    CHECK(group.reduced_bytes() == 0);
  }
}

TEST_CASE("gathered bytes of uneven and empty ranks arrive whole and by rank") {
  const auto ranks = static_cast<std::size_t>(world().size());
  for (const std::int64_t chunk : {std::int64_t{1}, std::int64_t{7}, mpi::kLargestMessage}) {
    MpiCommunicator group = communicator(chunk);
    for (const std::size_t step : {std::size_t{0}, std::size_t{1}, std::size_t{13}}) {
      for (const bool reversed : {false, true}) {
        const auto length = [&](std::size_t rank) { return step * (reversed ? ranks - 1 - rank : rank); };
        const auto all =
            group.all_gather(bytes_of_rank(world().rank(), length(static_cast<std::size_t>(world().rank()))));
        REQUIRE(all.size() == ranks);
        for (std::size_t rank = 0; rank < ranks; ++rank) {
          CHECK((all[rank] == bytes_of_rank(static_cast<std::int64_t>(rank), length(rank))));
        }
      }
    }
  }
}

TEST_CASE("what cannot be exchanged is refused before anything is sent") {
  MpiCommunicator group = communicator();
  at::Tensor whole_numbers = at::zeros({4}, at::kInt);
  CHECK_THROWS_AS(group.all_reduce_sum(whole_numbers), InternalError);
  at::Tensor with_gaps = at::zeros({4, 4}).t().slice(1, 0, 2);
  CHECK_THROWS_AS(group.all_reduce_sum(with_gaps), InternalError);
  at::Tensor fine = at::zeros({4});
  CHECK_THROWS_AS(group.broadcast(fine, world().size()), InternalError);
  CHECK_THROWS_AS(group.broadcast(fine, -1), InternalError);
  CHECK_THROWS_AS(communicator(0), InternalError);
  CHECK_THROWS_AS(communicator(std::int64_t{1} << 31), InternalError);
  CHECK_THROWS_AS(mpi::checked_count(std::int64_t{1} << 31, "a message"), InternalError);
  CHECK(mpi::checked_count((std::int64_t{1} << 31) - 1, "a message") == std::numeric_limits<int>::max());
}

TEST_CASE("an MPI call that fails becomes an exception with operation, rank, host and MPI's reason") {
  const mpi::CommHandle comm = mpi::duplicate(MPI_COMM_WORLD);
  int number = 0;
  std::string message;
  try {
    mpi::check(MPI_Bcast(&number, 1, MPI_INT, comm.size() + 5, comm.get()), "MPI_Bcast");
  } catch (const mpi::MpiError& error) {
    message = error.what();
    CHECK(error.code() == ExitCode::internal);
  }
  const std::string who = "MPI_Bcast failed on rank " + std::to_string(world().rank()) + " on " + world().host() + ": ";
  CHECK(message.find(who) == 0);
  CHECK(message.find("invalid root") != std::string::npos);
}

TEST_CASE("a communicator has one owner at a time") {
  mpi::CommHandle first = mpi::duplicate(MPI_COMM_WORLD);
  const MPI_Comm raw = first.get();
  mpi::CommHandle second(std::move(first));
  CHECK(first.get() == MPI_COMM_NULL);  // NOLINT(bugprone-use-after-move): the promise under test
  CHECK(second.get() == raw);
  mpi::CommHandle third = mpi::duplicate(MPI_COMM_WORLD);
  third = std::move(second);
  CHECK(second.get() == MPI_COMM_NULL);  // NOLINT(bugprone-use-after-move)
  CHECK(third.get() == raw);
  mpi::CommHandle& itself = third;
  third = std::move(itself);
  CHECK(third.get() == raw);
  CHECK(third.size() == world().size());
}
