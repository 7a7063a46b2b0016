// Packed attention against its plain twin, against separate sequences, and against finite differences.
#include <vector>

#include "core/kernels/attention.hpp"
#include "core/model/packed_batch.hpp"
#include "core/model/rotary.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

const HeadShape kShape{6, 2, 8};  // groups of three queries per key/value head

ModelConfig rotary_config() {
  ModelConfig config;
  config.head_dim = kShape.head_dim;
  return config;
}

// Two streams: a common prefix with two prompts, one of which has two options; then a plain sequence and padding.
PackedBatch tree_batch() {
  PackedBatch batch;
  const std::vector<std::int32_t> tokens(16, 0);
  const auto span = [&](std::int64_t length, std::int64_t parent) {
    return batch.add_span(tokens.data(), tokens.data() + length, parent, 0);
  };
  const std::int64_t common = span(3, -1);
  const std::int64_t prompt = span(4, common);
  batch.add_output(batch.rows() - 1);
  span(2, prompt);
  batch.add_output(batch.rows() - 2);
  batch.add_output(batch.rows() - 1);
  span(1, prompt);
  span(5, common);
  batch.add_output(batch.rows() - 1);
  batch.end_stream();
  span(6, -1);
  batch.add_output(batch.rows() - 1);
  batch.add_padding(2);
  batch.end_stream();
  return batch;
}

AttentionPlanPtr plan_of(const PackedBatch& batch, bool outputs_only, at::ScalarType type) {
  AttentionPlanPtr plan = make_attention_plan(batch.layout, outputs_only ? &batch.output_rows : nullptr);
  const Rotations turn = rotations(inverse_frequencies(rotary_config()), batch.positions, type);
  plan->cosine = turn.cosine;
  plan->sine = turn.sine;
  return plan;
}

at::Tensor qkv_of(const PackedBatch& batch, at::ScalarType type = at::kDouble) {
  return random_tensor({batch.rows(), (kShape.heads + 2 * kShape.kv_heads) * kShape.head_dim}, 21, type) * 2.0;
}

}  // namespace

TEST_CASE("packed attention equals torch's own under a mask") {
  const PackedBatch batch = tree_batch();
  const at::Tensor qkv = qkv_of(batch);
  const auto plan = plan_of(batch, false, at::kDouble);
  const at::Tensor plain = attention_plain(qkv, at::Tensor(), plan, kShape);
  CHECK(difference(attention(qkv, at::Tensor(), plan, kShape), plain) < 1e-13);
  const auto plan32 = plan_of(batch, false, at::kFloat);
  CHECK(difference(attention(qkv.to(at::kFloat), at::Tensor(), plan32, kShape), plain) < 2e-6);
}

TEST_CASE("spans longer than a block of queries equal torch's own, gradients too, in both types") {
  PackedBatch batch;
  const std::vector<std::int32_t> tokens(80, 0);
  const auto span = [&](std::int64_t length, std::int64_t parent) {
    return batch.add_span(tokens.data(), tokens.data() + length, parent, 0);
  };
  const std::int64_t prompt = span(37, -1);
  span(19, prompt);
  span(16, prompt);
  span(33, -1);  // a tree of its own in the same stream
  batch.end_stream();
  batch.add_padding(1);
  span(70, -1);
  batch.end_stream();
  const at::Tensor upstream = random_tensor({batch.rows(), kShape.heads * kShape.head_dim}, 25);
  for (const auto& [type, bound] : {std::pair{at::kDouble, 1e-12}, std::pair{at::kFloat, 2e-5}}) {
    const auto plan = plan_of(batch, false, type);
    const auto exact = plan_of(batch, false, at::kDouble);
    const auto f = [&](const at::Tensor& x) { return attention(x, at::Tensor(), plan, kShape); };
    const auto twin = [&](const at::Tensor& x) { return attention_plain(x, at::Tensor(), exact, kShape); };
    CHECK(difference(f(qkv_of(batch, type)), twin(qkv_of(batch))) < bound);
    CHECK(difference(autograd_gradient(f, qkv_of(batch, type), upstream.to(type)),
                     autograd_gradient(twin, qkv_of(batch), upstream)) < bound);
  }
}

TEST_CASE("where the inputs may be overwritten their gradients are the same, with and without padding") {
  const std::vector<std::int32_t> tokens(40, 0);
  for (const std::int64_t padding : {0, 3}) {
    PackedBatch batch;
    const std::int64_t prompt = batch.add_span(tokens.data(), tokens.data() + 21, -1, 0);
    batch.add_output(batch.rows() - 1);
    batch.add_span(tokens.data(), tokens.data() + 18, prompt, 0);
    batch.add_output(batch.rows() - 2);
    batch.add_padding(padding);
    batch.end_stream();
    for (const bool outputs_only : {false, true}) {
      INFO("padding " << padding << ", outputs only " << outputs_only);
      const auto plan = plan_of(batch, outputs_only, at::kFloat);
      const at::Tensor leaf = qkv_of(batch, at::kFloat).requires_grad_(true);
      const auto gradient = [&](bool may_overwrite) {
        const at::Tensor inner = leaf * 1.0;  // what may be overwritten is no leaf
        const std::int64_t queries = kShape.heads * kShape.head_dim;
        const at::Tensor out =
            outputs_only ? attention(inner.narrow(1, 0, queries).index_select(0, at::tensor(batch.output_rows)),
                                     inner.narrow(1, queries, 2 * kShape.kv_heads * kShape.head_dim).contiguous(), plan,
                                     kShape, may_overwrite)
                         : attention(inner, at::Tensor(), plan, kShape, may_overwrite);
        const at::Tensor upstream = random_tensor(out.sizes(), 27, at::kFloat);
        return torch::autograd::grad({out}, {leaf}, {upstream})[0];
      };
      CHECK(same_bits(gradient(true), gradient(false)));
    }
  }
}

TEST_CASE("packed attention's gradient equals finite differences and its twin's") {
  const PackedBatch batch = tree_batch();
  const at::Tensor qkv = qkv_of(batch);
  const auto plan = plan_of(batch, false, at::kDouble);
  const at::Tensor upstream = random_tensor({batch.rows(), kShape.heads * kShape.head_dim}, 22);
  const auto f = [&](const at::Tensor& x) { return attention(x, at::Tensor(), plan, kShape); };
  const auto twin = [&](const at::Tensor& x) { return attention_plain(x, at::Tensor(), plan, kShape); };
  const at::Tensor gradient = autograd_gradient(f, qkv, upstream);
  CHECK(difference(gradient, autograd_gradient(twin, qkv, upstream)) < 1e-12);
  CHECK(difference(gradient, numeric_gradient(f, qkv, upstream)) < 1e-7);
}

TEST_CASE("queries at output rows alone give those rows, with the same gradients") {
  const PackedBatch batch = tree_batch();
  const at::Tensor qkv = qkv_of(batch);
  const std::int64_t width = kShape.heads * kShape.head_dim;
  const at::Tensor index = at::tensor(batch.output_rows, at::kLong);
  const auto all = plan_of(batch, false, at::kDouble);
  const auto some = plan_of(batch, true, at::kDouble);
  const auto full = [&](const at::Tensor& x) { return attention(x, at::Tensor(), all, kShape).index_select(0, index); };
  const auto part = [&](const at::Tensor& x) {
    return attention(x.narrow(1, 0, width).index_select(0, index), x.narrow(1, width, x.size(1) - width), some, kShape);
  };
  CHECK(difference(part(qkv), full(qkv)) < 1e-14);
  const at::Tensor upstream = random_tensor({index.size(0), width}, 23);
  CHECK(difference(autograd_gradient(part, qkv, upstream), autograd_gradient(full, qkv, upstream)) < 1e-13);
}

TEST_CASE("a tree of spans equals its sequences one by one") {
  const PackedBatch batch = tree_batch();
  const at::Tensor qkv = qkv_of(batch);
  const at::Tensor together = attention(qkv, at::Tensor(), plan_of(batch, false, at::kDouble), kShape);
  // Rows of the sequence common + prompt + first option, by hand: 0-2, 3-6, 7-8.
  for (const std::vector<std::int64_t>& rows :
       {std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8}, std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 9},
        std::vector<std::int64_t>{0, 1, 2, 10, 11, 12, 13, 14}}) {
    const at::Tensor index = at::tensor(rows, at::kLong);
    PackedBatch alone;
    const std::vector<std::int32_t> tokens(rows.size(), 0);
    alone.add_span(tokens.data(), tokens.data() + tokens.size(), -1, 0);
    alone.end_stream();
    const at::Tensor expected =
        attention(qkv.index_select(0, index), at::Tensor(), plan_of(alone, false, at::kDouble), kShape);
    CHECK(difference(together.index_select(0, index), expected) < 1e-13);
  }
}

TEST_CASE("padding rows give zeros, take no gradient and change nothing") {
  const PackedBatch batch = tree_batch();
  at::Tensor qkv = qkv_of(batch);
  const auto plan = plan_of(batch, false, at::kDouble);
  const at::Tensor before = attention(qkv, at::Tensor(), plan, kShape);
  CHECK(before.narrow(0, batch.rows() - 2, 2).abs().max().item<double>() == 0.0);
  const auto f = [&](const at::Tensor& x) { return attention(x, at::Tensor(), plan, kShape); };
  const at::Tensor gradient = autograd_gradient(f, qkv, random_tensor(before.sizes(), 24));
  CHECK(gradient.narrow(0, batch.rows() - 2, 2).abs().max().item<double>() == 0.0);
  qkv.narrow(0, batch.rows() - 2, 2).fill_(1e6);
  CHECK(same_bits(attention(qkv, at::Tensor(), plan, kShape), before));
}

TEST_CASE("large scores do not overflow") {
  const PackedBatch batch = tree_batch();
  const auto plan = plan_of(batch, false, at::kFloat);
  CHECK(attention(qkv_of(batch, at::kFloat) * 100.0, at::Tensor(), plan, kShape).isfinite().all().item<bool>());
}
