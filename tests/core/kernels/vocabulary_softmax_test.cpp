// The running soft-max over a vocabulary against the whole logits in float64.
#include "core/kernels/vocabulary_softmax.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

struct Sizes {
  std::int64_t rows, width, vocabulary;
};

void check(const at::Tensor& hidden, const at::Tensor& head, double tolerance) {
  const at::Tensor logits = at::mm(hidden.to(at::kDouble), head.to(at::kDouble).t());
  const at::Tensor exact_total = at::logsumexp(logits, {1});
  const at::Tensor exact_mean = at::mm(at::softmax(logits, 1), head.to(at::kDouble));
  at::Tensor total = at::full({hidden.size(0)}, -1.0, hidden.options());
  at::Tensor mean = at::full(hidden.sizes(), -1.0, hidden.options());
  vocabulary_softmax(hidden, head, total, &mean);
  CHECK(at::allclose(total.to(at::kDouble), exact_total, tolerance, tolerance));
  CHECK(at::allclose(mean.to(at::kDouble), exact_mean, tolerance, tolerance));
  // Without the mean the totals are the same numbers.
  at::Tensor alone = at::empty_like(total);
  vocabulary_softmax(hidden, head, alone, nullptr);
  CHECK(at::allclose(alone, total, 0.0, tolerance * 1e-1));
}

}  // namespace

TEST_CASE("the running soft-max over a vocabulary equals the soft-max of whole logits") {
  std::uint64_t seed = 900;
  for (const Sizes& size :
       {Sizes{1, 1, 1}, Sizes{1, 8, 3}, Sizes{3, 17, 1000}, Sizes{33, 64, 4099}, Sizes{130, 40, 777}}) {
    INFO(size.rows << " x " << size.width << ", vocabulary " << size.vocabulary);
    const at::Tensor hidden = random_tensor({size.rows, size.width}, ++seed) * 2.0;
    const at::Tensor head = random_tensor({size.vocabulary, size.width}, ++seed);
    check(hidden.to(at::kDouble), head.to(at::kDouble), 1e-12);
    check(hidden.to(at::kFloat), head.to(at::kFloat), 3e-5);
  }
}

TEST_CASE("the running soft-max bears logits far beyond what an exponential holds, wherever the largest comes") {
  for (const std::int64_t largest : {0, 500, 1999}) {
    const at::Tensor hidden = at::ones({2, 4}, at::kFloat);
    at::Tensor head = at::full({2000, 4}, -100.0, at::kFloat);
    head[largest].fill_(300.0);               // a logit of 1,200
    head[(largest + 7) % 2000].fill_(299.9);  // and one 0.4 below
    check(hidden, head, 1e-4);
  }
}

TEST_CASE("the running soft-max over a vocabulary is the same bits for any number of threads") {
  const at::Tensor hidden = random_tensor({70, 48}, 950).to(at::kFloat);
  const at::Tensor head = random_tensor({3001, 48}, 951).to(at::kFloat);
  const int before = at::get_num_threads();
  std::vector<at::Tensor> results;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    at::Tensor total = at::empty({70}, at::kFloat);
    at::Tensor mean = at::empty({70, 48}, at::kFloat);
    vocabulary_softmax(hidden, head, total, &mean);
    results.push_back(at::cat({total.unsqueeze(1), mean}, 1));
  }
  at::set_num_threads(before);
  CHECK(same_bits(results[0], results[1]));
}
