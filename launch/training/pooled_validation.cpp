#include "launch/training/pooled_validation.hpp"

#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

#include "core/calibration/evaluate.hpp"
#include "core/ensemble/prediction_share.hpp"

namespace chorale {

PooledValidation::PooledValidation(const RunWorld& run, EvaluationConfig evaluation, std::size_t members)
    : run_(run), evaluation_(evaluation), members_(members) {
  evaluation_.bootstrap = 0;
  evaluation_.temperature = false;
}

void PooledValidation::take(const ValidationReport& report) {
  if (!run_.leads_group() || run_.first_member() > 0) return;
  if (report.choices != nullptr) choices_ = *report.choices;
  if (report.tokens != nullptr) tokens_ = *report.tokens;
  pending_ = true;
}

// All members' values, in the shape of this group's own; nothing when a group's are missing.
std::optional<std::vector<float>> PooledValidation::all_values() {
  const bool by_token = tokens_.members > 0;
  std::vector<float>& own = by_token ? tokens_.log_likelihoods : choices_.log_probabilities;
  const std::size_t width = by_token ? 1 : choices_.choices;
  const std::size_t cells = by_token ? tokens_.tokens() : choices_.examples;
  const bool pending = std::exchange(pending_, false);
  if (run_.has_one_group()) return run_.is_root() && pending ? std::optional(std::move(own)) : std::nullopt;
  std::vector<std::byte> message;
  if (pending) message = pack({run_.members(), 0, cells, width, std::move(own)});
  std::vector<PredictionShare> shares;
  std::size_t members = 0;
  for (const auto& bytes : run_.world().gather(message)) {
    if (bytes.empty()) continue;
    shares.push_back(unpack(bytes));
    members += shares.back().members.size();
  }
  if (!run_.is_root() || members != members_) return std::nullopt;
  std::vector<std::uint32_t> all(members_);
  std::iota(all.begin(), all.end(), 0U);
  return assemble(shares, all, cells, width);
}

nlohmann::json PooledValidation::metrics() {
  std::optional<std::vector<float>> values = all_values();
  if (!values) return nullptr;
  nlohmann::json ensemble;
  if (tokens_.members > 0) {
    tokens_.members = members_;
    tokens_.log_likelihoods = *std::move(values);
    ensemble = evaluate_tokens(tokens_)["ensemble"];
  } else {
    choices_.members = members_;
    choices_.log_probabilities = *std::move(values);
    ensemble = evaluate_predictions(choices_, nullptr, evaluation_, 0)["ensemble"];
  }
  nlohmann::json result;
  for (const char* key : {"nll", "accuracy", "ece"}) {
    if (ensemble.contains(key)) result[key] = ensemble[key];
  }
  return result;
}

}  // namespace chorale
