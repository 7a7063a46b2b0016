#include "launch/training/run_world.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "core/base/errors.hpp"
#include "distributed/group_communicator.hpp"

namespace chorale {
namespace {

Placement placement_of(const World& world, const Recipe& recipe, RunPurpose purpose, std::int64_t first_member) {
  const std::int64_t members = recipe.ensemble.members - first_member;
  std::int64_t groups = purpose == RunPurpose::training ? recipe.distributed.groups : 0;
  if (first_member > 0) groups = std::min(groups, members);  // chosen for the whole ensemble
  Placement placement = place(members, world.size(), groups > 0 ? std::optional(groups) : std::nullopt);
  for (PlacementGroup& group : placement.groups) group.first_member += first_member;
  return placement;
}

}  // namespace

RunWorld::RunWorld(World& world, const Recipe& recipe, RunPurpose purpose, std::int64_t first_member)
    : world_(world), backend_(recipe.distributed.backend) {
  world.set_patience(static_cast<double>(recipe.distributed.watchdog_seconds));
  world.together([&] {
    placement_ = placement_of(world, recipe, purpose, first_member);
    if (purpose == RunPurpose::training) check_batch(placement_, recipe.training.batch_size);
  });
  number_ = placement_.group_of(world.rank());
  const PlacementGroup& own = placement_.groups[static_cast<std::size_t>(number_)];
  members_.resize(static_cast<std::size_t>(own.members));
  std::iota(members_.begin(), members_.end(), static_cast<std::uint32_t>(own.first_member));
  group_ = world.split(number_);
}

void RunWorld::compute_on(c10::Device device) {
  group_ = make_group_communicator(world_, std::move(group_), device, backend_);
}

std::uint64_t RunWorld::smallest(std::uint64_t value) const {
  std::uint64_t result = value;
  for (const auto& bytes : world_.everyone().all_gather(std::as_bytes(std::span(&value, 1)))) {
    std::uint64_t other = 0;
    CHORALE_ASSERT(bytes.size() == sizeof other, "every rank gives one number");
    std::memcpy(&other, bytes.data(), sizeof other);
    result = std::min(result, other);
  }
  return result;
}

bool RunWorld::all(bool value) const {
  return smallest(value ? 1 : 0) == 1;
}

nlohmann::json RunWorld::gather(const nlohmann::json& list) const {
  const std::string text = list.dump();
  nlohmann::json all = nlohmann::json::array();
  for (const auto& bytes : world_.gather(std::as_bytes(std::span(text)))) {
    const auto* first = reinterpret_cast<const char*>(bytes.data());
    for (nlohmann::json& item : nlohmann::json::parse(first, first + bytes.size())) all.push_back(std::move(item));
  }
  return all;
}

}  // namespace chorale
