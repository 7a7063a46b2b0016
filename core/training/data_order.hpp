// Which examples a member sees at which step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace chorale {

/// A member's own order of the examples, drawn anew for every epoch from (seed, member, epoch) alone.
class DataOrder {
 public:
  /// `vary`: every member has its own order; otherwise all share member 0's.
  DataOrder(std::size_t examples, std::int64_t batch_size, std::uint64_t seed, bool vary);

  [[nodiscard]] std::int64_t steps_per_epoch() const { return steps_per_epoch_; }
  [[nodiscard]] std::int64_t epoch_of(std::int64_t step) const { return step / steps_per_epoch_; }

  /// Examples of `member`'s batch at `step` (counted from 0 over all epochs). The last batch of an epoch holds what is
  /// left.
  [[nodiscard]] std::vector<std::size_t> batch(std::uint32_t member, std::int64_t step) const;

 private:
  struct Epoch {
    std::uint32_t member = 0;
    std::int64_t number = -1;
    std::vector<std::uint32_t> order;
  };
  [[nodiscard]] const Epoch& epoch(std::uint32_t member, std::int64_t number) const;

  std::size_t examples_;
  std::int64_t batch_size_;
  std::uint64_t seed_;
  bool vary_;
  std::int64_t steps_per_epoch_;
  mutable std::vector<Epoch> current_;  // by member: the epoch asked for last
};

}  // namespace chorale
