// Blockwise full-vocabulary scores against plain log-softmax and finite differences.
#include "core/model/output_head.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

const at::Tensor kHidden = random_tensor({5, 6}, 41) * 2.0;
const at::Tensor kHead = random_tensor({17, 6}, 42);
const at::Tensor kOutputOf = at::tensor({0, 0, 2, 4, 3, 0}, at::kLong);
const at::Tensor kTokenOf = at::tensor({3, 16, 0, 3, 9, 3}, at::kLong);

}  // namespace

TEST_CASE("token log-likelihoods equal log-softmax, gradients too") {
  const auto f = [&](const at::Tensor& h) { return token_log_likelihoods(h, kHead, kOutputOf, kTokenOf); };
  const auto twin = [&](const at::Tensor& h) { return token_log_likelihoods_plain(h, kHead, kOutputOf, kTokenOf); };
  CHECK(difference(f(kHidden), twin(kHidden)) < 1e-13);
  const at::Tensor upstream = random_tensor({6}, 43);
  const at::Tensor gradient = autograd_gradient(f, kHidden, upstream);
  CHECK(difference(gradient, autograd_gradient(twin, kHidden, upstream)) < 1e-13);
  CHECK(difference(gradient, numeric_gradient(f, kHidden, upstream)) < 1e-8);
}

TEST_CASE("a vocabulary too large for one block gives the same") {
  // Blocks hold 8M logits: 30 rows of 400,000 entries need two.
  const at::Tensor hidden = random_tensor({30, 4}, 44, at::kFloat);
  const at::Tensor head = random_tensor({400000, 4}, 45, at::kFloat);
  const at::Tensor output_of = at::arange(30, at::kLong);
  const at::Tensor token_of = at::arange(30, at::kLong) * 13000;
  CHECK(difference(token_log_likelihoods(hidden, head, output_of, token_of),
                   token_log_likelihoods_plain(hidden, head, output_of, token_of)) < 1e-5);
}

TEST_CASE("the divergence from the base is what its definition says, gradients too") {
  const at::Tensor base = random_tensor({5, 6}, 46);
  const at::Tensor upstream = random_tensor({5}, 47);
  for (const bool base_first : {false, true}) {
    const auto f = [&](const at::Tensor& h) { return vocabulary_divergence(h, base, kHead, base_first); };
    const at::Tensor p = at::log_softmax(at::mm(kHidden, kHead.t()), 1);
    const at::Tensor q = at::log_softmax(at::mm(base, kHead.t()), 1);
    const at::Tensor expected = base_first ? (q.exp() * (q - p)).sum(1) : (p.exp() * (p - q)).sum(1);
    CHECK(difference(f(kHidden), expected) < 1e-13);
    CHECK(difference(autograd_gradient(f, kHidden, upstream), numeric_gradient(f, kHidden, upstream)) < 1e-8);
  }
  CHECK(vocabulary_divergence(kHidden, kHidden, kHead, false).abs().max().item<double>() < 1e-14);
}
