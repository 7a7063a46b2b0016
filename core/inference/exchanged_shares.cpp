#include "core/inference/exchanged_shares.hpp"

#include <algorithm>
#include <cstddef>

#include "core/base/interruption.hpp"

namespace chorale {

std::vector<PredictionShare> exchange_shares(Communicator& group, const std::function<PredictionShare()>& own) {
  std::vector<std::byte> packed;  // stays empty when this rank was asked to stop; a packed share never is
  try {
    packed = pack(own());
  } catch (const Preempted&) {
    packed.clear();
  }
  const std::vector<std::vector<std::byte>> all = group.all_gather(packed);
  if (std::any_of(all.begin(), all.end(), [](const auto& bytes) { return bytes.empty(); })) {
    throw Preempted("stopped on the way through a data set. The same command with --resume goes on.");
  }
  std::vector<PredictionShare> shares;
  for (const std::vector<std::byte>& bytes : all) shares.push_back(unpack(bytes));
  return shares;
}

}  // namespace chorale
