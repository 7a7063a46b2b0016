// Parts of predictions: any way of sharing gives the same array, and nothing is lost or doubled unnoticed.
#include "core/ensemble/prediction_share.hpp"

#include <algorithm>
#include <random>

#include "core/base/errors.hpp"
#include "support/catch.hpp"

using namespace chorale;

namespace {

float value_of(std::uint32_t member, std::size_t cell, std::size_t choice) {
  return static_cast<float>(member) * 1000.0F + static_cast<float>(cell) + static_cast<float>(choice) / 16.0F;
}

PredictionShare make_share(std::vector<std::uint32_t> members, IndexRange range, std::size_t width) {
  PredictionShare share{std::move(members), range.begin, range.size(), width, {}};
  for (const std::uint32_t member : share.members) {
    for (std::size_t cell = range.begin; cell < range.end; ++cell) {
      for (std::size_t k = 0; k < width; ++k) share.values.push_back(value_of(member, cell, k));
    }
  }
  return share;
}

const std::vector<std::uint32_t> kMembers = {2, 3, 5, 7, 8};

}  // namespace

TEST_CASE("shares of ranks cover everything once, in order, with sizes differing by at most one") {
  for (std::size_t count = 0; count < 40; ++count) {
    for (std::int64_t ranks = 1; ranks < 20; ++ranks) {
      std::size_t end = 0;
      for (std::int64_t rank = 0; rank < ranks; ++rank) {
        const IndexRange range = share_of(count, rank, ranks);
        CHECK(range.begin == end);
        CHECK(range.size() >= count / static_cast<std::size_t>(ranks));
        CHECK(range.size() <= count / static_cast<std::size_t>(ranks) + 1);
        end = range.end;
      }
      CHECK(end == count);
    }
  }
}

TEST_CASE("any sharing over groups and ranks, in any order of arrival, gives the same array") {
  std::mt19937 random(5);
  const std::size_t cells = 11;
  const std::size_t width = 3;
  const std::vector<float> whole = make_share(kMembers, {0, cells}, width).values;
  for (std::int64_t groups = 1; groups <= 5; ++groups) {
    for (std::int64_t ranks = 1; ranks <= 14; ++ranks) {
      std::vector<PredictionShare> shares;
      for (std::int64_t group = 0; group < groups; ++group) {
        const IndexRange owned = share_of(kMembers.size(), group, groups);
        const std::vector<std::uint32_t> members(kMembers.begin() + static_cast<std::ptrdiff_t>(owned.begin),
                                                 kMembers.begin() + static_cast<std::ptrdiff_t>(owned.end));
        for (std::int64_t rank = 0; rank < ranks; ++rank) {
          shares.push_back(unpack(pack(make_share(members, share_of(cells, rank, ranks), width))));
        }
      }
      std::shuffle(shares.begin(), shares.end(), random);
      CHECK(assemble(shares, kMembers, cells, width) == whole);
    }
  }
}

TEST_CASE("a cell that is missing, doubled or foreign is an error that names it") {
  const auto message = [](const std::vector<PredictionShare>& shares) {
    try {
      static_cast<void>(assemble(shares, kMembers, 4, 2));
    } catch (const InternalError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const auto mentions = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(mentions(message({make_share(kMembers, {0, 3}, 2)}), "member 2 for cell 3 never came"));
  CHECK(mentions(message({make_share({2, 3, 5, 7}, {0, 4}, 2)}), "member 8 for cell 0 never came"));
  CHECK(mentions(message({make_share(kMembers, {0, 4}, 2), make_share({5}, {1, 2}, 2)}),
                 "member 5 for cell 1 came twice"));
  CHECK(mentions(message({make_share({2, 4}, {0, 4}, 2)}), "member 4 is not expected"));
  CHECK(mentions(message({make_share(kMembers, {2, 6}, 2)}), "cells 2 to 6"));
  CHECK(mentions(message({make_share(kMembers, {0, 4}, 3)}), "width 3"));
  CHECK(message({make_share(kMembers, {0, 4}, 2)}).empty());
}

TEST_CASE("bytes that are no packed share are refused") {
  const std::vector<std::byte> bytes = pack(make_share(kMembers, {1, 3}, 2));
  CHECK(unpack(bytes) == make_share(kMembers, {1, 3}, 2));
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    CHECK_THROWS_AS(unpack(std::span(bytes).first(length)), InternalError);
  }
  std::vector<std::byte> longer = bytes;
  longer.push_back(std::byte{0});
  CHECK_THROWS_AS(unpack(longer), InternalError);
}
