#include "core/calibration/pairs.hpp"

#include "core/base/errors.hpp"
#include "core/ensemble/log_math.hpp"

namespace chorale {

std::vector<std::vector<double>> pairwise_disagreement(const PredictionTable& table) {
  CHORALE_ASSERT(table.examples > 0, "a share needs an example");
  const std::size_t members = table.members.size();
  std::vector<std::vector<double>> shares(members, std::vector<double>(members, 0.0));
  std::vector<std::size_t> choices(members);
  for (std::size_t example = 0; example < table.examples; ++example) {
    for (std::size_t member = 0; member < members; ++member)
      choices[member] = argmax(table.members[member].row(example));
    for (std::size_t a = 0; a < members; ++a) {
      for (std::size_t b = 0; b < members; ++b) shares[a][b] += choices[a] != choices[b] ? 1.0 : 0.0;
    }
  }
  for (std::vector<double>& row : shares) {
    for (double& share : row) share /= static_cast<double>(table.examples);
  }
  return shares;
}

}  // namespace chorale
