// What rank 0 knows of all groups' pace.
#include "launch/training/pace.hpp"

#include "launch/training/stragglers.hpp"

#include "support/catch.hpp"

namespace chorale {
namespace {

// Six ranks in three groups of two.
Placement placement() {
  return place(3, 6, 3);
}

// Every group makes `steps` of 100 tokens in its own time.
std::vector<RankPace> ranks(std::int64_t steps, const std::vector<double>& seconds) {
  std::vector<RankPace> all;
  for (std::int64_t rank = 0; rank < 6; ++rank) {
    const auto group = rank / 2;
    const double time = seconds[static_cast<std::size_t>(group)];
    all.push_back(
        {group, rank % 2 == 0, time > 0.0 ? steps : 0, time, time > 0.0 ? 100 * steps : 0, 1000 + rank, 0.0, ""});
  }
  return all;
}

TEST_CASE("tokens and memory of all ranks, each group counted once") {
  const Placement three = placement();
  Pace pace(three);
  CHECK(pace.tokens() == 0);
  CHECK(pace.tokens_per_step() == 0.0);
  CHECK(pace.text(pace.slowest()).empty());
  CHECK(pace.slowest_per_step_of(0) == 1.0);
  pace.met(ranks(10, {1.0, 1.0, 1.4}));
  pace.met(ranks(0, {0.0, 0.0, 0.0}));  // a checkpoint at the same step
  pace.met(ranks(5, {0.5, 0.5, 0.7}));
  CHECK(pace.tokens() == 3 * 1500);
  CHECK(pace.tokens_per_step() == 300.0);
  CHECK(pace.peak_memory() == 1005);
}

TEST_CASE("the slowest group by name, and how it holds the others up") {
  const Placement three = placement();
  Pace pace(three);
  pace.met(ranks(10, {1.0, 1.1, 1.4}));
  CHECK(pace.slowest().group == 2);
  CHECK(pace.slowest().times == Approx(1.4));
  CHECK(pace.text(pace.slowest()) == "slowest: group 2 (ranks 4-5) 1.4x");
  CHECK(pace.slowest_per_step_of(0) == Approx(1.0 / 1.4));
  CHECK(pace.slowest_per_step_of(2) == 1.0);
  // Lately another one; over all still the same.
  for (int meeting = 0; meeting < 30; ++meeting) pace.met(ranks(1, {0.1, 0.15, 0.1}));
  CHECK(pace.slowest().group == 1);
  CHECK(pace.slowest().times == Approx(1.5).epsilon(0.05));
  // A group that has stopped is no longer counted.
  pace.met(ranks(1, {0.1, 0.0, 0.1}));
  CHECK(pace.slowest().group != 1);
  CHECK(pace.slowest_of_all().group == 1);
}

TEST_CASE("groups of about the same pace are not worth a word, and single ranks are named as such") {
  const Placement two = place(2, 2, 2);
  Pace pace(two);
  pace.met({{0, true, 10, 1.0, 10, 1, 0.0, ""}, {1, true, 10, 1.05, 10, 1, 0.0, ""}});
  CHECK(pace.text(pace.slowest()).empty());
  pace.met({{0, true, 10, 1.0, 10, 1, 0.0, ""}, {1, true, 10, 9.0, 10, 1, 0.0, ""}});
  CHECK(pace.text(pace.slowest_of_all()) == "slowest: group 1 (rank 1) 5.0x");
}

TEST_CASE("what a rank tells arrives as it was") {
  const RankPace told{3, true, 17, 2.25, 123456789012, 987654321098, 0.75, "node3"};
  const RankPace arrived = rank_pace(nlohmann::json::parse(to_json(told).dump()));
  CHECK(arrived.group == 3);
  CHECK(arrived.leads);
  CHECK(arrived.steps == 17);
  CHECK(arrived.seconds == 2.25);
  CHECK(arrived.tokens == 123456789012);
  CHECK(arrived.peak_memory == 987654321098);
  CHECK(arrived.waited == 0.75);
  CHECK(arrived.host == "node3");
}

TEST_CASE("the rank that the others of its group wait for") {
  // Groups of ranks 0-1, 2-4 and 5; all ranks are at work for ten seconds.
  Placement placement{3, 6, {{0, 2, 0, 1}, {2, 3, 1, 1}, {5, 1, 2, 1}}};
  Stragglers stragglers(placement);
  CHECK(Stragglers::text(stragglers.of_all()).empty());
  const auto told = [](const std::vector<double>& waited) {
    std::vector<RankPace> all;
    for (std::size_t rank = 0; rank < waited.size(); ++rank)
      all.push_back({0, false, 10, 10.0, 100, 1, waited[rank], "node" + std::to_string(rank)});
    return all;
  };
  stragglers.met(told({1.0, 1.1, 4.0, 1.0, 5.0, 0.0}));  // the exchange itself takes a second
  const Straggler worst = stragglers.of_all();
  CHECK(worst.rank == 3);
  CHECK(worst.group == 1);
  CHECK(worst.seconds == Approx(3.5));
  CHECK(worst.share == Approx(0.35));
  CHECK(Stragglers::text(worst) ==
        "slowest: rank 3 on node3; the others of group 1 waited 3.5 s for it, 35 % of their time");
  CHECK(Stragglers::remark(worst) == "waiting for rank 3 on node3: 35 %");
  // Lately another one; over all still the same.
  for (int meeting = 0; meeting < 4; ++meeting) stragglers.met(told({1.5, 1.0, 1.0, 1.0, 1.0, 0.0}));
  for (int meeting = 0; meeting < 30; ++meeting) stragglers.met(told({3.0, 1.0, 1.0, 1.0, 1.0, 0.0}));
  CHECK(stragglers.lately().rank == 1);
  // Ranks that wait for each other by turns are not worth a word.
  Stragglers even(placement);
  even.met(told({1.0, 1.5, 1.2, 1.0, 1.4, 9.0}));
  CHECK(Stragglers::text(even.of_all()).empty());
  CHECK(Stragglers::remark(even.of_all()).empty());
}

}  // namespace
}  // namespace chorale
