#include "core/inference/exchanged_shares.hpp"

#include <algorithm>
#include <cstddef>
#include <string>

#include "core/base/interruption.hpp"

namespace chorale {

std::vector<PredictionShare> exchange_shares(Communicator& group, const std::function<PredictionShare()>& own) {
  std::vector<std::byte> packed;  // stays empty when this rank was asked to stop; a packed share never is
  std::string request = "stopped with another rank, which was asked to. The same command with --resume goes on.";
  try {
    packed = pack(own());
  } catch (const Preempted& own_request) {
    request = own_request.what();
  }
  const std::vector<std::vector<std::byte>> all = group.all_gather(packed);
  if (std::any_of(all.begin(), all.end(), [](const auto& bytes) { return bytes.empty(); })) {
    throw Preempted(request);
  }
  std::vector<PredictionShare> shares;
  for (const std::vector<std::byte>& bytes : all) shares.push_back(unpack(bytes));
  return shares;
}

}  // namespace chorale
