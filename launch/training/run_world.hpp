// One run spread over ranks: which group this rank is in, whose members it holds, and how it talks to the others.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/parallel/communicator.hpp"
#include "distributed/placement.hpp"
#include "distributed/world.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale {

/// What a run is there for: only training shares batches, which must not be smaller than a group.
enum class RunPurpose { training, prediction };

/// Made by every rank alike. The world must outlive it.
class RunWorld {
 public:
  /// Collective. UsageError when the recipe's groups cannot be. Predictions are placed as suits this world, whatever
  /// groups the recipe has for training. Members before `first_member` take no part: they are trained already, and the
  /// recipe's groups are at most as many as the members that do.
  RunWorld(World& world, const Recipe& recipe, RunPurpose purpose, std::int64_t first_member = 0);
  /// From here on the ranks of a group talk the way `device`, which this rank computes on, and distributed.backend ask
  /// for (distributed/group_communicator.hpp). Collective. UsageError.
  void compute_on(c10::Device device);

  [[nodiscard]] World& world() const { return world_; }
  /// `members` of it counts those that take part.
  [[nodiscard]] const Placement& placement() const { return placement_; }
  [[nodiscard]] std::int64_t first_member() const { return placement_.groups.front().first_member; }
  /// Global numbers of this rank's members, ascending.
  [[nodiscard]] const std::vector<std::uint32_t>& members() const { return members_; }
  /// The ranks that share them.
  [[nodiscard]] Communicator& group() const { return *group_; }
  [[nodiscard]] std::int64_t group_number() const { return number_; }
  [[nodiscard]] bool is_root() const { return world_.is_root(); }
  /// True on the one rank of each group that speaks and writes for it.
  [[nodiscard]] bool leads_group() const { return group_->rank() == 0; }
  [[nodiscard]] bool has_one_group() const { return placement_.groups.size() == 1; }

  /// The smallest value any rank gives. Collective.
  [[nodiscard]] std::uint64_t smallest(std::uint64_t value) const;
  /// True when every rank says so. Collective.
  [[nodiscard]] bool all(bool value) const;
  /// The lists of all ranks, one behind the other in the order of the ranks, on rank 0; empty elsewhere. Collective.
  [[nodiscard]] nlohmann::json gather(const nlohmann::json& list) const;

 private:
  World& world_;
  std::string backend_;
  Placement placement_;
  std::int64_t number_ = 0;
  std::vector<std::uint32_t> members_;
  std::unique_ptr<Communicator> group_;
};

}  // namespace chorale
