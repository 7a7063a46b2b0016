#include "core/inference/text_scores.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/topk.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/base/errors.hpp"
#include "core/model/output_head.hpp"

namespace chorale {

TextScores score_tokens(const Decoder& decoder, const std::vector<std::int32_t>& ids, std::int64_t top,
                        const LinearHook* hook) {
  const at::NoGradGuard no_gradients;
  if (ids.empty()) throw InputError("there is nothing to score: the text has no token. Give at least one token.");
  const std::int64_t vocabulary = decoder.config().vocabulary;
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= vocabulary) {
      throw InputError(fmt::format("token id {} is outside the vocabulary of {} tokens. Use ids from 0 to {}.", id,
                                   vocabulary, vocabulary - 1));
    }
  }
  PackedBatch batch;
  batch.add_span(ids.data(), ids.data() + ids.size(), -1, 0);
  for (std::int64_t row = 0; row < batch.rows(); ++row) batch.add_output(row);
  batch.end_stream();
  const at::Tensor hidden = decoder.final_norm(
      decoder.run_layers(decoder.embed(ids), decoder.prepare(batch), 0, decoder.config().layers, hook));
  TextScores scores;
  const auto count = static_cast<std::int64_t>(ids.size()) - 1;
  if (count > 0) {
    const at::Tensor next = at::tensor(std::vector<std::int64_t>(ids.begin() + 1, ids.end()), at::kLong);
    const at::Tensor log_p =
        token_log_likelihoods(hidden, decoder.head(), at::arange(count, at::kLong).to(decoder.device()),
                              next.to(decoder.device()))
            .to(at::kFloat)
            .cpu()
            .contiguous();
    scores.log_probabilities.assign(log_p.const_data_ptr<float>(), log_p.const_data_ptr<float>() + count);
  }
  if (top > 0) {
    const at::Tensor last = hidden.narrow(0, count, 1).to(decoder.head().scalar_type());
    const at::Tensor logits = at::mm(last, decoder.head().t()).to(at::kFloat).squeeze(0).cpu();
    const auto [values, indices] = at::topk(logits, std::min(top, vocabulary));
    for (std::int64_t i = 0; i < values.size(0); ++i) {
      scores.top.emplace_back(static_cast<std::int32_t>(indices.const_data_ptr<std::int64_t>()[i]),
                              values.const_data_ptr<float>()[i]);
    }
  }
  return scores;
}

}  // namespace chorale
