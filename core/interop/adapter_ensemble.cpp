#include "core/interop/adapter_ensemble.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "core/base/errors.hpp"
#include "core/interop/peft_read.hpp"

namespace chorale {
namespace {

at::Tensor matrix(const std::vector<float>& values, std::int64_t rows, std::int64_t columns) {
  // from_blob takes no const; the tensor is only read.
  return at::from_blob(const_cast<float*>(values.data()), {rows, columns}, at::kFloat);
}

// Rank, alpha and scaling that make the most of what the adapters already are.
void choose_scale(const std::vector<LoraAdapter>& adapters, AdapterConfig& config) {
  const LoraAdapter& first = adapters.front();
  const bool alike = std::all_of(adapters.begin(), adapters.end(), [&](const LoraAdapter& one) {
    return one.uniform && one.rank == first.rank && one.alpha == first.alpha && one.scaling == first.scaling;
  });
  if (alike && first.alpha != 0.0) {
    config.rank = first.rank;
    config.alpha = first.alpha;
    config.scaling = first.scaling;
    return;
  }
  config.rank = 1;
  double largest = 0.0;
  for (const LoraAdapter& adapter : adapters) {
    for (const LoraFactors& site : adapter.sites) {
      config.rank = std::max(config.rank, site.rank);
      largest = std::max(largest, std::abs(site.scale));
    }
  }
  config.alpha = static_cast<double>(config.rank) * (largest > 0.0 ? largest : 1.0);
  config.scaling = AdapterScaling::standard;
}

AdapterConfig union_of(const ModelConfig& model, const std::vector<LoraAdapter>& adapters) {
  AdapterConfig config;
  config.dropout = 0.0;
  choose_scale(adapters, config);
  std::set<std::string> targets;
  std::set<std::int64_t> layers;
  for (const LoraAdapter& adapter : adapters) {
    for (const LoraFactors& site : adapter.sites) {
      targets.insert(site.target);
      layers.insert(site.layer);
    }
  }
  config.targets.clear();
  std::copy_if(kAdapterTargets.begin(), kAdapterTargets.end(), std::back_inserter(config.targets),
               [&](const std::string& target) { return targets.contains(target); });
  if (std::cmp_less(layers.size(), model.layers)) config.layers.assign(layers.begin(), layers.end());
  return config;
}

}  // namespace

AdapterBank stack_adapters(const ModelConfig& model, const std::vector<LoraAdapter>& adapters, at::Device device) {
  CHORALE_ASSERT(!adapters.empty(), "an ensemble of no adapter");
  BankOptions options;
  options.members.resize(adapters.size());
  std::iota(options.members.begin(), options.members.end(), 0U);
  options.device = device;
  AdapterBank bank(model, union_of(model, adapters), options);
  const double bank_scale = adapter_scale(bank.config());
  at::Tensor host = at::zeros(bank.parameters().sizes(), at::kFloat);
  for (std::int64_t m = 0; m < bank.member_count(); ++m) {
    const LoraAdapter& adapter = adapters[static_cast<std::size_t>(m)];
    for (const AdapterSite& site : bank.layout().sites()) {
      const auto found = std::find_if(adapter.sites.begin(), adapter.sites.end(),
                                      [&](const LoraFactors& one) { return one.module == site.module; });
      if (found == adapter.sites.end()) continue;
      const std::int64_t rank = bank.config().rank;
      const at::Tensor a = host[m].narrow(0, site.a_offset, rank * site.in).view({rank, site.in});
      const at::Tensor b = host[m].narrow(0, site.b_offset, rank * site.out).view({site.out, rank});
      a.narrow(0, 0, found->rank).copy_(matrix(found->a, found->rank, site.in));
      at::Tensor from = matrix(found->b, site.out, found->rank);
      if (found->scale != bank_scale) from = from.mul(found->scale / bank_scale);
      b.narrow(1, 0, found->rank).copy_(from);
    }
  }
  bank.parameters().copy_(host);
  return bank;
}

AdapterBank load_adapter_ensemble(const ModelConfig& model, const std::vector<std::string>& directories,
                                  at::Device device) {
  std::vector<LoraAdapter> adapters;
  adapters.reserve(directories.size());
  for (const std::string& directory : directories) adapters.push_back(read_peft_adapter(model, directory));
  return stack_adapters(model, adapters, device);
}

}  // namespace chorale
