// What every metric starts from: members' log-probabilities for every example.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace chorale {

/// Log-probabilities of M members for N examples over K choices. Rows are normalised over the choices an example has;
/// choices it lacks (K may vary by record) are -inf.
struct Predictions {
  std::string name;
  std::size_t members = 0;
  std::size_t examples = 0;
  std::size_t choices = 0;
  std::vector<float> log_probabilities;  // [members, examples, choices]
  std::vector<std::int32_t> labels;      // [examples]; -1: unlabelled
  std::vector<std::string> example_ids;  // [examples]

  [[nodiscard]] float at(std::size_t member, std::size_t example, std::size_t choice) const {
    return log_probabilities[(member * examples + example) * choices + choice];
  }
};

/// Log-likelihoods of the answer tokens of a completion set: M members, T tokens over N examples.
struct TokenPredictions {
  std::string name;
  std::size_t members = 0;
  std::vector<float> log_likelihoods;        // [members, tokens]
  std::vector<std::size_t> example_offsets;  // [examples + 1] into the token axis
  std::vector<std::string> example_ids;      // [examples]

  [[nodiscard]] std::size_t tokens() const { return members == 0 ? 0 : log_likelihoods.size() / members; }
};

}  // namespace chorale
