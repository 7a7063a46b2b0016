// Packed attention in bfloat16 with our kernels and flash attention (on the CPU: its twin), against the plain twin in
// float64.
#pragma once

#include "core/kernels/attention_flash.hpp"
#include "core/kernels/flash_plan.hpp"
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

/// Three streams: options of many lengths behind prompts behind a common beginning, and padding; prompts behind a
/// common beginning; options behind a prompt.
inline PackedBatch tree_batch() {
  PackedBatch batch;
  const std::vector<std::int32_t> tokens(80, 0);
  const auto add = [&](std::int64_t length, std::int64_t parent) {
    return batch.add_span(tokens.data(), tokens.data() + length, parent, 0);
  };
  const std::int64_t common = add(33, -1);
  for (const std::int64_t length : {5, 1, 20}) {
    const std::int64_t prompt = add(length, common);
    for (const std::int64_t option : {1, 7, 3}) add(option + length % 2, prompt);
  }
  batch.add_padding(3);
  batch.end_stream();
  const std::int64_t other = add(2, -1);
  for (const std::int64_t length : {4, 6}) add(length, other);
  batch.end_stream();
  const std::int64_t prompt = add(9, -1);
  for (const std::int64_t option : {2, 2}) add(option, prompt);
  batch.end_stream();
  return batch;
}

/// The last row of every span that has children, and all rows of those that have a parent and none, as the last layer
/// asks.
inline std::vector<std::int64_t> asking_in_tree(const PackedBatch& batch) {
  std::vector<bool> parent(batch.layout.spans.size(), false);
  for (const Span& span : batch.layout.spans) {
    if (span.parent >= 0) parent[static_cast<std::size_t>(span.parent)] = true;
  }
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < parent.size(); ++i) {
    const Span& span = batch.layout.spans[i];
    for (std::int64_t row = parent[i] ? span.end - 1 : span.begin; row < span.end; ++row) rows.push_back(row);
  }
  return rows;
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

/// Asked by all rows, and by `some`.
inline Results check_flash_attention_of(const PackedBatch& batch, const std::vector<std::int64_t>& some,
                                        std::uint64_t number, at::Device device) {
  Results all;
  const std::int64_t rows = batch.rows();
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

inline Results check_flash_attention(at::Device device) {
  const PackedBatch batch = sequences_batch();
  // Ends of sequences, a run that stops before the end of one, and one sequence nobody asks in.
  std::vector<std::int64_t> some = {0, 5};
  for (std::int64_t row = 40; row < 60; ++row) some.push_back(row);
  some.push_back(batch.rows() - 4);
  return check_flash_attention_of(batch, some, 5500, device);
}

/// Spans that share what came before them.
inline Results check_flash_attention_in_trees(at::Device device) {
  const PackedBatch batch = tree_batch();
  return check_flash_attention_of(batch, asking_in_tree(batch), 5700, device);
}

/// `first`'s plan becomes `second`'s.
inline void check_plan_taken_over(const PackedBatch& first, const PackedBatch& second, at::Device device) {
  const HeadShape shape{6, 2, 8};
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {  // flash attention; the plain twin
    for (const bool separate : {false, true}) {
      const auto plan_for = [&](const PackedBatch& batch) {
        return plan_of(batch, separate ? &batch.output_rows : nullptr, 8, at::kFloat, device);
      };
      const std::int64_t rows = first.rows();
      const at::Tensor q =
          placed(random_tensor(
                     {separate ? static_cast<std::int64_t>(first.output_rows.size()) : rows, separate ? 48 : 80}, 6500),
                 type, device);
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

/// A plan that takes over another of its shape gives what the other gives: as recorded passes do.
inline void check_flash_plan_taken_over(at::Device device) {
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
  // A common beginning, prompts behind it and options behind the first.
  const auto tree_of = [](const std::vector<std::int64_t>& lengths, std::int64_t padding) {
    PackedBatch batch;
    const std::vector<std::int32_t> tokens(80, 0);
    std::int64_t parent = -1;
    for (const std::int64_t length : lengths) {
      const std::int64_t span = batch.add_span(tokens.data(), tokens.data() + length, parent, 0);
      if (batch.layout.spans.size() <= 2) parent = span;
      if (batch.layout.spans.size() > 1) batch.add_output(batch.rows() - 1);
    }
    batch.add_padding(padding);
    batch.end_stream();
    return batch;
  };
  check_plan_taken_over(batch_of({9, 20, 3}, 8), batch_of({14, 1, 23}, 2), device);
  check_plan_taken_over(tree_of({9, 11, 9, 3}, 8), tree_of({14, 6, 15, 3}, 2), device);
}

}  // namespace chorale::test
