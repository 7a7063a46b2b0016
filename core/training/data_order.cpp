#include "core/training/data_order.hpp"

#include <algorithm>

#include "core/base/random.hpp"

namespace chorale {

DataOrder::DataOrder(std::size_t examples, std::int64_t batch_size, std::uint64_t seed, bool vary)
    : examples_(examples),
      batch_size_(batch_size),
      seed_(seed),
      vary_(vary),
      steps_per_epoch_((static_cast<std::int64_t>(examples) + batch_size - 1) / batch_size) {}

const DataOrder::Epoch& DataOrder::epoch(std::uint32_t member, std::int64_t number) const {
  auto found = std::find_if(current_.begin(), current_.end(), [&](const Epoch& e) { return e.member == member; });
  if (found == current_.end()) found = current_.insert(current_.end(), Epoch{member, -1, {}});
  if (found->number != number) {
    found->number = number;
    found->order = RandomStream(seed_, member, Purpose::data_order, static_cast<std::uint64_t>(number))
                       .permutation(static_cast<std::uint32_t>(examples_));
  }
  return *found;
}

std::vector<std::size_t> DataOrder::batch(std::uint32_t member, std::int64_t step) const {
  const std::vector<std::uint32_t>& order = epoch(vary_ ? member : 0, epoch_of(step)).order;
  const std::int64_t first = step % steps_per_epoch_ * batch_size_;
  const std::int64_t count = std::min(batch_size_, static_cast<std::int64_t>(examples_) - first);
  return {order.begin() + first, order.begin() + first + count};
}

}  // namespace chorale
