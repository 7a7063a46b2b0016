// Training over a base in four or eight bits: the same as over a plain base that holds what the codes decode to.
#include "support/catch.hpp"
#include "support/rounded_base.hpp"
#include "support/tensors.hpp"
#include "support/tiny_run.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

constexpr std::array kFormats = {LinearFormat::nf4, LinearFormat::float8};

at::Tensor gradients_of(const TinyRunOptions& options) {
  TinyRun run(options);
  run.trainer().compute_gradients(0);
  return run.bank().gradients().clone();
}

at::Tensor trained(const TinyRunOptions& options) {
  TinyRun run(options);
  run.trainer().run();
  return run.bank().parameters().clone();
}

}  // namespace

TEST_CASE("adapters' gradients over a compact base equal those over the decoded base") {
  for (const LinearFormat format : kFormats) {
    const RoundedBase rounded(format);
    for (const TinyTask& task : {TinyTask{TaskKind::multiple_choice, Scoring::label_token},
                                 TinyTask{TaskKind::multiple_choice, Scoring::option_likelihood},
                                 TinyTask{TaskKind::completion, Scoring::label_token}}) {
      TinyRunOptions compact;
      compact.task = task;
      compact.adapter.dropout = 0.2;
      compact.linears = format;
      TinyRunOptions plain = compact;
      plain.linears = LinearFormat::plain;
      plain.base = &rounded;
      const at::Tensor expected = gradients_of(plain);
      CHECK(same_bits(gradients_of(compact), expected));
      // float32 multiplies in another order there: to rounding.
      compact.dtype = plain.dtype = at::kFloat;
      const double largest = expected.abs().max().item<double>();
      CHECK(difference(gradients_of(compact), expected) < 1e-5 * largest);
      // And the rounding of the weights is felt: this is not the original base.
      plain.base = nullptr;
      plain.dtype = at::kDouble;
      CHECK(difference(gradients_of(plain), expected) > 1e-3 * largest);
    }
  }
}

TEST_CASE("training over a compact base ends where training over the decoded base ends") {
  for (const LinearFormat format : kFormats) {
    const RoundedBase rounded(format);
    TinyRunOptions compact;
    compact.linears = format;
    TinyRunOptions plain;
    plain.base = &rounded;
    CHECK(difference(trained(compact), trained(plain)) < 1e-12);
  }
}

TEST_CASE("a compact base in float32 trains members alone as in company") {
  TinyRunOptions options;
  options.linears = LinearFormat::nf4;
  options.dtype = at::kFloat;
  const at::Tensor together = trained(options);
  options.members = {1};
  CHECK(difference(trained(options)[0], together[1]) < 1e-4);
}
