// World under a launcher: who is who, gathering, and agreement on errors.
#include "distributed/world.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include <new>
#include <set>
#include <stdexcept>

#include "distributed/cpu_share.hpp"
#include "distributed/mpi_world.hpp"
#include "distributed/self_test.hpp"
#include "support/catch.hpp"

using namespace chorale;
using chorale::test::world;

namespace {

struct Outcome {
  int code = -1;
  std::string message;
  std::int64_t rank = -1;
};

// What a part that fails on some ranks comes to here; code 0 when nothing was thrown.
Outcome outcome_of(const std::function<void()>& part) {
  try {
    world().together(part);
  } catch (const AgreedError& error) {
    return {static_cast<int>(error.code()), error.what(), error.rank()};
  }
  return {0, "", -1};
}

std::string text_of(std::int64_t rank) {
  return "text of rank " + std::to_string(rank);
}

}  // namespace

TEST_CASE("every rank knows its place") {
  CHECK(world().uses_mpi());
  CHECK(world().rank() >= 0);
  CHECK(world().rank() < world().size());
  CHECK(world().node_rank() == world().rank());  // all on this host
  CHECK(world().node_size() == world().size());
  CHECK(world().nodes() == even_nodes(world().size(), world().size()));
  CHECK_FALSE(world().host().empty());
  CHECK(world().everyone().size() == world().size());
  CHECK(world().everyone().rank() == world().rank());
}

TEST_CASE("bytes gather on rank 0 alone, and rank 0's text goes to all") {
  const std::string mine = world().rank() % 2 == 0 ? text_of(world().rank()) : "";
  const auto all = world().gather(std::as_bytes(std::span(mine)));
  CHECK(all.size() == (world().is_root() ? static_cast<std::size_t>(world().size()) : 0));
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const std::string text(reinterpret_cast<const char*>(all[rank].data()), all[rank].size());
    CHECK(text == (rank % 2 == 0 ? text_of(static_cast<std::int64_t>(rank)) : ""));
  }
  CHECK(world().broadcast(text_of(world().rank())) == text_of(0));
  CHECK(world().broadcast(world().is_root() ? "" : "something") == "");
  CHECK(world().broadcast(std::string(world().is_root() ? 100'000 : 3, 'x')) == std::string(100'000, 'x'));
}

TEST_CASE("the largest of each value is every rank's") {
  const std::int64_t rank = world().rank();
  const std::vector<std::int64_t> expected = {world().size() - 1, 0, 5};
  CHECK(world().largest({rank, -rank, 5}) == expected);
  CHECK(world().largest({}).empty());
}

TEST_CASE("a split gives ranks of one colour a communicator of their own") {
  const std::int64_t colour = world().rank() % 2;
  const auto group = world().split(colour);
  std::int64_t expected = 0;
  for (std::int64_t rank = colour; rank < world().size(); rank += 2) expected += rank + 1;
  CHECK(group->size() == (world().size() + 1 - colour) / 2);
  CHECK(group->rank() == world().rank() / 2);
  at::Tensor sum = at::full({2}, static_cast<double>(world().rank() + 1), at::kDouble);
  group->all_reduce_sum(sum);
  CHECK(sum[0].item<double>() == static_cast<double>(expected));
  const auto alone = world().split(world().rank());
  CHECK(alone->size() == 1);
  CHECK(alone->rank() == 0);
  CHECK_THROWS_AS(world().split(-1), InternalError);
}

TEST_CASE("all ranks throw the lowest failing rank's error") {
  if (world().size() == 1) return;  // the next case is this one's counterpart
  const std::int64_t last = world().size() - 1;
  CHECK(outcome_of([] {}).code == 0);
  const std::vector<std::set<std::int64_t>> failing = {{0}, {last}, {1, last}, {0, last}};
  for (const auto& ranks : failing) {
    const Outcome outcome = outcome_of([&] {
      if (ranks.contains(world().rank())) throw InputError(text_of(world().rank()));
    });
    CHECK(outcome.code == 3);
    CHECK(outcome.message == text_of(*ranks.begin()));
    CHECK(outcome.rank == *ranks.begin());
  }
  CHECK(outcome_of([] {}).code == 0);
}

TEST_CASE("a single process lets the exception through as it is") {
  if (world().size() > 1) return;
  CHECK_THROWS_AS(world().together([] { throw std::out_of_range("odd"); }), std::out_of_range);
  CHECK_THROWS_AS(world().on_root([] { throw InputError("bad"); }), InputError);
}

TEST_CASE("whatever is thrown has an exit code on every rank") {
  if (world().size() == 1) return;
  const std::int64_t last = world().size() - 1;
  const auto fails_at_last = [&](const std::function<void()>& fail) {
    return outcome_of([&] {
      if (world().rank() == last) fail();
    });
  };
  CHECK(fails_at_last([] { throw UsageError("u"); }).code == 2);
  CHECK(fails_at_last([] { throw DivergedError("d"); }).code == 4);
  CHECK(fails_at_last([] { throw StorageError("s"); }).code == 5);
  CHECK(fails_at_last([] { throw Error(ExitCode::preempted, "p"); }).code == 75);
  const Outcome memory = fails_at_last([] { throw std::bad_alloc(); });
  CHECK(memory.code == 2);
  CHECK(memory.message.find("out of memory. Lower training.micro_batch_size") == 0);
  const Outcome bug = fails_at_last([] { throw std::out_of_range("odd\ntrace of torch"); });
  CHECK(bug.code == 70);
  CHECK(bug.message.find("odd (this is a bug in chorale") == 0);
  CHECK(fails_at_last([] { throw 5; }).code == 70);
}

TEST_CASE("only rank 0 runs on_root, and its failure is everybody's") {
  int runs = 0;
  world().on_root([&] { ++runs; });
  CHECK(runs == (world().is_root() ? 1 : 0));
  if (world().size() == 1) return;
  try {
    world().on_root([] { throw StorageError("disk full"); });
    FAIL("nothing was thrown");
  } catch (const AgreedError& error) {
    CHECK(error.code() == ExitCode::storage);
    CHECK(error.rank() == 0);
  }
}

TEST_CASE("agreement inside agreement keeps the rank that failed first") {
  if (world().size() == 1) return;
  const std::int64_t last = world().size() - 1;
  const Outcome outcome = outcome_of([&] {
    world().together([&] {
      if (world().rank() == last) throw StorageError(text_of(last));
    });
  });
  CHECK(outcome.code == 5);
  CHECK(outcome.rank == last);
  CHECK(outcome.message == text_of(last));
}

TEST_CASE("the self-test meets every ordered pair and finds no fault") {
  const SelfTest test = self_test(world());
  const auto ranks = world().is_root() ? static_cast<std::size_t>(world().size()) : 0;
  CHECK(test.faults.empty());
  REQUIRE(test.pairs.size() == ranks);
  for (std::size_t from = 0; from < ranks; ++from) {
    REQUIRE(test.pairs[from].size() == ranks);
    for (std::size_t to = 0; to < ranks; ++to) {
      CHECK((test.pairs[from][to].microseconds > 0.0) == (from != to));
      CHECK((test.pairs[from][to].gigabytes_per_second > 0.0) == (from != to));
    }
  }
}

TEST_CASE("ranks know whom they share their cores with") {
  const CpuShare share = cpu_share(world());
  CHECK_FALSE(share.cores.empty());
  CHECK(std::is_sorted(share.cores.begin(), share.cores.end()));
  CHECK(share.sharing >= 1);
  CHECK(share.sharing <= world().size());
  CHECK(std::includes(share.shared_cores.begin(), share.shared_cores.end(), share.cores.begin(), share.cores.end()));
  CHECK(core_list({0, 1, 2, 5, 7, 8}) == "0-2,5,7-8");
  CHECK(core_list({}) == "");
}
