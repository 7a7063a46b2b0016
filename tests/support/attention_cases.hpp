// Packed attention in bfloat16 with our kernels and flash attention (on the CPU: its twin), against the plain twin in
// float64.
#pragma once

#include "core/kernels/attention_flash.hpp"
#include "core/model/packed_batch.hpp"
#include "core/model/rotary.hpp"
#include "support/kernel_cases.hpp"

namespace chorale::test {

/// Two streams of sequences of many lengths, padding in one of them.
inline PackedBatch sequences_batch() {
  PackedBatch batch;
  const std::vector<std::int32_t> tokens(80, 0);
  for (const std::vector<std::int64_t>& lengths :
       {std::vector<std::int64_t>{1, 5, 70}, std::vector<std::int64_t>{17, 2}}) {
    for (const std::int64_t length : lengths) batch.add_span(tokens.data(), tokens.data() + length, -1, 0);
    batch.add_padding(lengths.size() == 2 ? 3 : 0);
    batch.end_stream();
  }
  return batch;
}

inline AttentionPlanPtr plan_of(const PackedBatch& batch, const std::vector<std::int64_t>* asking,
                                std::int64_t head_dim, at::ScalarType type, at::Device device) {
  ModelConfig config;
  config.head_dim = head_dim;
  const AttentionPlanPtr plan = make_attention_plan(batch.layout, asking);
  const Rotations turn = rotations(inverse_frequencies(config), batch.positions, type);
  plan->cosine = turn.cosine.to(device);
  plan->sine = turn.sine.to(device);
  return plan;
}

inline Results check_flash_attention(at::Device device) {
  Results all;
  const PackedBatch batch = sequences_batch();
  const std::int64_t rows = batch.rows();
  // All rows; ends of sequences, a run that stops before the end of one, and one sequence nobody asks in.
  std::vector<std::int64_t> some = {0, 5};
  for (std::int64_t row = 40; row < 60; ++row) some.push_back(row);
  some.push_back(rows - 4);
  std::uint64_t number = 5500;
  for (const std::int64_t head_dim : {8, 64}) {
    const HeadShape shape{6, 2, head_dim};
    const std::int64_t width = (shape.heads + 2 * shape.kv_heads) * head_dim;
    for (const bool separate : {false, true}) {
      INFO("head_dim " << head_dim << ", separate " << separate);
      const std::vector<std::int64_t>* asking = separate ? &some : nullptr;
      const AttentionPlanPtr plan = plan_of(batch, asking, head_dim, at::kFloat, device);
      const AttentionPlanPtr plan64 = plan_of(batch, asking, head_dim, at::kDouble, at::kCPU);
      const std::int64_t count = separate ? static_cast<std::int64_t>(some.size()) : rows;
      const at::Tensor q = leaf(placed(
          random_tensor({count, separate ? shape.heads * head_dim : width}, ++number) * 2.0, at::kBFloat16, device));
      const at::Tensor kv = separate ? leaf(placed(random_tensor({rows, 2 * shape.kv_heads * head_dim}, ++number) * 2.0,
                                                   at::kBFloat16, device))
                                     : at::Tensor();
      const at::Tensor q64 = leaf(exact(q));
      const at::Tensor kv64 = separate ? leaf(exact(kv)) : at::Tensor();
      CHECK(attention_flash_takes(q, *plan, shape));
      const at::Tensor before = q.detach().clone();
      const at::Tensor result = attention(q, kv, plan, shape);
      CHECK(same_bits(q.detach(), before));
      const at::Tensor expected = attention_plain(q64, kv64, plan64, shape);
      // Nobody uses the results of padding rows.
      const at::Tensor upstream = placed(random_tensor(expected.sizes(), ++number), at::kBFloat16, device)
                                      .mul_(flash_plan_of(*plan, device).real.unsqueeze(1));
      CHECK(relative_norm(result, expected) < 0.01);
      const Results inputs = separate ? Results{q, kv} : Results{q};
      const Results inputs64 = separate ? Results{q64, kv64} : Results{q64};
      const Results gradients = gradients_of({result}, {upstream}, inputs);
      const Results gradients64 = gradients_of({expected}, {exact(upstream)}, inputs64);
      for (std::size_t i = 0; i < gradients.size(); ++i) CHECK(relative_norm(gradients[i], gradients64[i]) < 0.015);
      // In place, as the decoder calls it: the same result out of the input's own memory.
      const at::NoGradGuard no_gradients;
      const at::Tensor own = q.detach().clone();
      const at::Tensor own_kv = separate ? kv.detach().clone() : at::Tensor();
      CHECK(near(attention(own, own_kv, plan, shape, /*may_overwrite=*/true), result, 0.0, 1e-6));
      CHECK(!same_bits(own, before));
      all.push_back(result.detach());
    }
  }
  return all;
}

/// A plan that takes over another of its shape gives what the other gives: as recorded passes do.
inline void check_flash_plan_taken_over(at::Device device) {
  const HeadShape shape{6, 2, 8};
  const auto batch_of = [](const std::vector<std::int64_t>& lengths, std::int64_t padding) {
    PackedBatch batch;
    const std::vector<std::int32_t> tokens(80, 0);
    for (const std::int64_t length : lengths) {
      batch.add_span(tokens.data(), tokens.data() + length, -1, 0);
      batch.add_output(batch.rows() - 1);
    }
    batch.add_padding(padding);
    batch.end_stream();
    return batch;
  };
  const PackedBatch first = batch_of({9, 20, 3}, 8);
  const PackedBatch second = batch_of({14, 1, 23}, 2);
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {  // flash attention; the plain twin
    for (const bool separate : {false, true}) {
      const auto plan_for = [&](const PackedBatch& batch) {
        return plan_of(batch, separate ? &batch.output_rows : nullptr, 8, at::kFloat, device);
      };
      const std::int64_t rows = first.rows();
      const at::Tensor q = placed(random_tensor({separate ? 3 : rows, separate ? 48 : 80}, 6500), type, device);
      const at::Tensor kv = separate ? placed(random_tensor({rows, 32}, 6501), type, device) : at::Tensor();
      const AttentionPlanPtr kept = plan_for(first);
      const at::Tensor before = attention(q, kv, kept, shape);
      const std::vector<at::Tensor> places = kept->tensors();
      CHECK(kept->shape() == plan_for(second)->shape());
      kept->take(*plan_for(second));
      for (std::size_t i = 0; i < places.size(); ++i) CHECK(kept->tensors()[i].data_ptr() == places[i].data_ptr());
      const at::Tensor expected = attention(q, kv, plan_for(second), shape);
      CHECK(same_bits(attention(q, kv, kept, shape), expected));
      CHECK_FALSE(same_bits(before, expected));
    }
  }
}

}  // namespace chorale::test
