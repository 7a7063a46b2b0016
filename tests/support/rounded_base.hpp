// The tiny base with its linears' weights replaced by what a compact format makes of them.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "core/kernels/compact_weight.hpp"
#include "support/tiny_base.hpp"

namespace chorale::test {

class RoundedBase : public TinyBase {
 public:
  explicit RoundedBase(LinearFormat format) : format_(format) {}

  void read(std::string_view name, std::span<float> out) const override {
    TinyBase::read(name, out);
    if (!name.ends_with("_proj.weight")) return;
    const std::vector<std::int64_t> sizes = shape(name);
    const at::Tensor weight = at::from_blob(out.data(), sizes, at::kFloat).clone();
    const at::Tensor decoded =
        make_compact_weight(format_, weight, {at::kFloat, at::kCPU, std::make_shared<WeightScratch>()})->decoded();
    std::copy_n(decoded.const_data_ptr<float>(), out.size(), out.begin());
  }

 private:
  LinearFormat format_;
};

}  // namespace chorale::test
