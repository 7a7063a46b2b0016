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
  void read_rows(std::string_view name, std::int64_t first, std::int64_t count, std::span<float> out) const override {
    const std::vector<std::int64_t> sizes = shape(name);
    const std::int64_t columns = sizes.size() > 1 ? sizes[1] : 1;
    std::vector<float> all(static_cast<std::size_t>(sizes[0] * columns));
    read(name, all);
    std::copy_n(all.begin() + first * columns, count * columns, out.begin());
  }

 private:
  LinearFormat format_;
};

}  // namespace chorale::test
