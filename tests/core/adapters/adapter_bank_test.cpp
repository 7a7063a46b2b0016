#include "core/adapters/adapter_bank.hpp"

#include <cmath>

#include "core/base/errors.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"
#include "support/tiny_base.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

AdapterConfig config_of(std::vector<std::string> targets, std::vector<std::int64_t> layers = {}) {
  AdapterConfig config;
  config.rank = 3;
  config.targets = std::move(targets);
  config.layers = std::move(layers);
  return config;
}

BankOptions options_of(std::vector<std::uint32_t> members) {
  BankOptions options;
  options.members = std::move(members);
  options.seed = 9;
  return options;
}

}  // namespace

TEST_CASE("the layout covers a member's row once, without gap or overlap") {
  for (const auto& targets : {kAdapterTargets, std::vector<std::string>{"q_proj", "v_proj"},
                              std::vector<std::string>{"k_proj"}, std::vector<std::string>{"up_proj", "down_proj"}}) {
    const AdapterLayout layout(tiny_config(), config_of(targets));
    CHECK(layout.sites().size() == targets.size() * 3);
    std::vector<int> covered(static_cast<std::size_t>(layout.parameters()), 0);
    for (const AdapterSite& site : layout.sites()) {
      for (std::int64_t i = 0; i < 3 * site.in; ++i) ++covered[static_cast<std::size_t>(site.a_offset + i)];
      for (std::int64_t i = 0; i < 3 * site.out; ++i) ++covered[static_cast<std::size_t>(site.b_offset + i)];
    }
    CHECK(std::all_of(covered.begin(), covered.end(), [](int n) { return n == 1; }));
  }
}

TEST_CASE("parameters count as rank times in plus out per site") {
  const AdapterLayout layout(tiny_config(), config_of(kAdapterTargets, {2}));
  // q 24->32, k and v 24->16, o 32->24, gate and up 24->20, down 20->24
  CHECK(layout.parameters() == 3 * (56 + 40 + 40 + 56 + 44 + 44 + 44));
  CHECK(layout.lowest_layer() == 2);
  CHECK(layout.sites().front().module == "model.layers.2.self_attn.q_proj");
}

TEST_CASE("a layer the base does not have is refused with the range it has") {
  try {
    const AdapterLayout layout(tiny_config(), config_of({"q_proj"}, {1, 3}));
    FAIL("layer 3 of 3 was accepted");
  } catch (const UsageError& error) {
    CHECK(std::string(error.what()).find("adapter.layers: layer 3 does not exist; the base model has layers 0 to 2") !=
          std::string::npos);
  }
}

TEST_CASE("A starts uniform in +-1/sqrt(in), B at zero, and members differ") {
  const AdapterBank bank(tiny_config(), config_of(kAdapterTargets), options_of({0, 1}));
  double sum = 0.0;
  double squares = 0.0;
  double count = 0.0;
  for (const AdapterSite& site : bank.layout().sites()) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(site.in));
    for (std::int64_t m = 0; m < 2; ++m) {
      const at::Tensor a = bank.a(m, site).to(at::kDouble) / bound;
      CHECK(a.abs().max().item<double>() <= 1.0);
      sum += a.sum().item<double>();
      squares += a.square().sum().item<double>();
      count += static_cast<double>(a.numel());
      CHECK(bank.b(m, site).abs().max().item<double>() == 0.0);
    }
    CHECK_FALSE(same_bits(bank.a(0, site), bank.a(1, site)));
  }
  CHECK(sum / count == Approx(0.0).margin(0.04));
  CHECK(squares / count == Approx(1.0 / 3.0).margin(0.03));
}

TEST_CASE("a member starts the same in any company, and all alike when initialisation does not vary") {
  const AdapterBank together(tiny_config(), config_of(kAdapterTargets), options_of({0, 1, 2, 3}));
  const AdapterBank alone(tiny_config(), config_of(kAdapterTargets), options_of({2}));
  CHECK(same_bits(together.parameters()[2], alone.parameters()[0]));
  BankOptions alike = options_of({0, 1});
  alike.vary_initialisation = false;
  const AdapterBank same(tiny_config(), config_of(kAdapterTargets), alike);
  CHECK(same_bits(same.parameters()[0], same.parameters()[1]));
}

TEST_CASE("both scalings are what their papers say") {
  AdapterConfig config = config_of({"q_proj"});
  config.rank = 16;
  config.alpha = 8.0;
  CHECK(adapter_scale(config) == 0.5);
  config.scaling = AdapterScaling::rank_stabilised;
  CHECK(adapter_scale(config) == 2.0);
}

TEST_CASE("the decay mask marks exactly the B factors") {
  const AdapterBank bank(tiny_config(), config_of({"q_proj", "v_proj", "down_proj"}), options_of({0}));
  const at::Tensor mask = bank.b_columns();
  std::int64_t b_count = 0;
  for (const AdapterSite& site : bank.layout().sites()) {
    CHECK(mask.narrow(0, site.b_offset, 3 * site.out).all().item<bool>());
    CHECK_FALSE(mask.narrow(0, site.a_offset, 3 * site.in).any().item<bool>());
    b_count += 3 * site.out;
  }
  CHECK(mask.sum().item<std::int64_t>() == b_count);
}
