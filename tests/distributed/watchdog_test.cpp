// What the watchdog says, from boards filled in by hand; and the board itself between two processes.
#include "distributed/watchdog.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "support/catch.hpp"

using namespace chorale;
using Catch::Matchers::Contains;

namespace {

// Four processes of one node, two groups of two; everyone works and has done so a second ago.
struct Node {
  WatchBoard board;
  std::vector<WatchSlot> slots{4};
  Watchdog::Place place{0, 0, 4, "here"};

  Node() {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      slots[i].rank = static_cast<std::int64_t>(i);
      slots[i].group = static_cast<std::int64_t>(i) / 2;
      slots[i].step = 7;
      slots[i].since = slots[i].beaten = 99.0;
      slots[i].looked = 200.0;
      slots[i].world_entered = 10;
      slots[i].group_entered = 20;
    }
  }
  void wait(std::size_t i, Collective collective, Circle circle) {
    slots[i].collective = static_cast<int>(collective);
    slots[i].circle = static_cast<int>(circle);
    (circle == Circle::world ? slots[i].world_entered : slots[i].group_entered) += 1;
    slots[i].since = 100.0;
  }
  [[nodiscard]] std::string at(double now, double limit = 60.0) const {
    return watchdog_verdict(slots, 0, 100.0, now, limit, place);
  }
};

}  // namespace

TEST_CASE("the watchdog names who has not come, and only after the limit") {
  Node node;
  node.wait(0, Collective::agreement, Circle::world);
  node.wait(2, Collective::agreement, Circle::world);
  node.wait(3, Collective::agreement, Circle::world);
  CHECK(node.at(159.0) == "");
  const std::string message = node.at(161.0);
  CHECK_THAT(message,
             Contains("rank 0 on here has waited 61 s in the agreement on an outcome after step 7 for rank 1"));
  CHECK_THAT(message, Contains("has got nothing done for 62 s"));
  CHECK_THAT(message, !Contains("rank 2") && !Contains("rank 3"));
}

TEST_CASE("a process that stands still is told from one that works") {
  Node node;
  node.wait(0, Collective::sum, Circle::group);
  node.slots[1].looked = 110.0;
  CHECK_THAT(node.at(200.0), Contains("rank 1 on here (step 7; its process has stood still for 90 s"));
}

TEST_CASE("a late rank that gets something done is waited for") {
  Node node;
  node.wait(0, Collective::sum, Circle::group);
  node.slots[1].beaten = 150.0;
  CHECK(node.at(209.0) == "");
  CHECK(node.at(211.0) != "");
}

TEST_CASE("only the ranks of the collective can be late") {
  Node node;
  node.wait(0, Collective::sum, Circle::group);
  node.slots[2].looked = node.slots[3].looked = 0.0;  // of the other group
  CHECK_THAT(node.at(200.0), Contains("rank 1") && !Contains("rank 2") && !Contains("rank 3"));
}

TEST_CASE("who waits for somebody late is not to blame") {
  Node node;
  node.wait(0, Collective::agreement, Circle::world);
  node.wait(1, Collective::agreement, Circle::world);
  node.wait(2, Collective::sum, Circle::group);  // for rank 3
  CHECK_THAT(node.at(200.0), Contains("rank 3") && !Contains("rank 2"));
  node.wait(3, Collective::sum, Circle::group);  // both wait in their group, and the network hangs
  CHECK_THAT(node.at(200.0), Contains("rank 2 on here (step 7; waits itself, in a sum over the ranks)"));
}

TEST_CASE("without anybody late here, other hosts get time to speak, or the network is named") {
  Node node;
  for (std::size_t i = 0; i < 4; ++i) node.wait(i, Collective::broadcast, Circle::world);
  CHECK_THAT(node.at(161.0), Contains("the network"));
  node.place.world_size = 8;
  CHECK(node.at(164.0) == "");
  CHECK_THAT(node.at(166.0), Contains("ranks of other hosts"));
}

TEST_CASE("a limit is learnt from steps, within its bounds") {
  LearntLimit limit;
  for (int i = 0; i < LearntLimit::kFirst - 1; ++i) limit.saw(4.0);
  CHECK(limit.of(600.0) == 600.0);
  limit.saw(1.0);
  CHECK(limit.of(600.0) == 80.0);
  CHECK(limit.of(50.0) == 50.0);
  LearntLimit quick;
  for (int i = 0; i < 9; ++i) quick.saw(0.0);
  CHECK(quick.of(600.0) == LearntLimit::kLeast);
  CHECK(quick.of(2.0) == 2.0);
}

TEST_CASE("processes see each other on a board, whose name does not stay") {
  const std::string name = WatchBoard::create(3);
  REQUIRE(name.starts_with("/chorale-"));
  WatchBoard board(name, 3);
  REQUIRE(board.slots().size() == 3);
  CHECK(board.slots()[2].rank == -1);
  const pid_t child = fork();
  if (child == 0) {
    WatchBoard theirs(name, 3);
    theirs.slots()[2].rank = 5;
    _exit(theirs.slots().size() == 3 && theirs.claim_the_word() ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(board.slots()[2].rank == 5);
  CHECK_FALSE(board.claim_the_word());
  WatchBoard::forget(name);
  // What cannot be mapped is a board for oneself.
  WatchBoard gone(name, 3);
  CHECK(gone.slots().size() == 1);
  CHECK(gone.claim_the_word());
}
