#include <cmath>
#include <vector>

#include "core/base/errors.hpp"
#include "core/calibration/evaluate.hpp"
#include "core/calibration/result_row.hpp"
#include "core/ensemble/log_math.hpp"

namespace chorale {
namespace {

struct TokenMetrics {
  double nll = 0.0;
  double perplexity = 0.0;
  std::int64_t infinite = 0;
};

TokenMetrics token_metrics(const std::vector<double>& log_likelihoods) {
  TokenMetrics result;
  for (const double value : log_likelihoods) {
    result.nll -= value;
    result.infinite += std::isinf(value) ? 1 : 0;
  }
  result.nll /= static_cast<double>(log_likelihoods.size());
  result.perplexity = std::exp(result.nll);
  return result;
}

nlohmann::json token_json(const TokenMetrics& metrics) {
  nlohmann::json result = {{"nll", finite_or_null(metrics.nll)}, {"perplexity", finite_or_null(metrics.perplexity)}};
  if (metrics.infinite > 0) {
    result["infinite"] = metrics.infinite;
  }
  return result;
}

double deviation(const std::vector<TokenMetrics>& members, double TokenMetrics::*metric, double mean) {
  double squares = 0.0;
  for (const TokenMetrics& member : members) {
    squares += (member.*metric - mean) * (member.*metric - mean);
  }
  return std::sqrt(squares / (static_cast<double>(members.size()) - 1.0));
}

}  // namespace

nlohmann::json evaluate_tokens(const TokenPredictions& predictions) {
  const std::size_t members = predictions.members;
  const std::size_t tokens = predictions.tokens();
  CHORALE_ASSERT(members > 0 && tokens > 0, "token metrics need a member and a token");
  CHORALE_ASSERT(predictions.log_likelihoods.size() == members * tokens, "log-likelihoods must be [members, tokens]");
  CHORALE_ASSERT(!predictions.example_offsets.empty() && predictions.example_offsets.back() == tokens,
                 "example offsets must end at the number of tokens");
  // The pool of next-token distributions, read at the token that came: log of the mean of the members' likelihoods.
  std::vector<double> pooled(tokens);
  std::vector<double> values(members);
  for (std::size_t token = 0; token < tokens; ++token) {
    for (std::size_t member = 0; member < members; ++member) {
      values[member] = static_cast<double>(predictions.log_likelihoods[member * tokens + token]);
    }
    pooled[token] = log_mean_exp(values);
  }
  std::vector<TokenMetrics> of_member;
  TokenMetrics mean;
  nlohmann::json each = nlohmann::json::array();
  for (std::size_t member = 0; member < members; ++member) {
    const auto first = predictions.log_likelihoods.begin() + static_cast<std::ptrdiff_t>(member * tokens);
    of_member.push_back(token_metrics(std::vector<double>(first, first + static_cast<std::ptrdiff_t>(tokens))));
    each.push_back(token_json(of_member.back()));
    mean.nll += of_member.back().nll / static_cast<double>(members);
    mean.perplexity += of_member.back().perplexity / static_cast<double>(members);
    mean.infinite += of_member.back().infinite;
  }
  const nlohmann::json deviations = {
      {"nll", finite_or_null(deviation(of_member, &TokenMetrics::nll, mean.nll))},
      {"perplexity", finite_or_null(deviation(of_member, &TokenMetrics::perplexity, mean.perplexity))}};
  return {{"examples", predictions.example_offsets.size() - 1},
          {"tokens", tokens},
          {"ensemble", token_json(token_metrics(pooled))},
          {"members", {{"mean", token_json(mean)}, {"std", deviations}, {"each", each}}}};
}

}  // namespace chorale
