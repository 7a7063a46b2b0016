// What every kernel is put through, on a GPU and in the CUDA kernels' emulation on the CPU alike: odd sizes, no rows
// and one row, buffers that begin off any alignment, both types; each against its plain twin in float64 on the CPU.
// Every function returns what the kernels gave, so that callers can compare bits.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "core/kernels/dropout.hpp"
#include "core/kernels/grouped_low_rank.hpp"
#include "core/kernels/rms_norm.hpp"
#include "core/kernels/rotate.hpp"
#include "core/kernels/swiglu.hpp"
#include "core/model/output_head.hpp"
#include "support/adamw_cases.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

namespace chorale::test {

using Results = std::vector<at::Tensor>;

inline constexpr std::array kKernelTypes = {at::kFloat, at::kBFloat16};

/// Half a unit in the last place: what rounding the result once may cost, relative to it.
inline double rounding(at::ScalarType type) {
  return type == at::kBFloat16 ? 1.0 / 256.0 : 1e-6;
}

/// Every element near the float64 one: `ulps` roundings of its own, and as many of `scale`'s size.
inline bool near(const at::Tensor& result, const at::Tensor& expected, double relative, double absolute = 0.0) {
  if (result.sizes() != expected.sizes()) return false;
  if (result.numel() == 0) return true;
  const at::Tensor here = result.detach().to(at::kCPU).to(at::kDouble);
  const at::Tensor exact = expected.detach().to(at::kCPU).to(at::kDouble);
  const at::Tensor excess = (here - exact).abs() - exact.abs() * relative - absolute;
  return here.isfinite().all().item<bool>() && excess.max().item<double>() <= 0.0;
}

/// |result - expected| / |expected|, over all elements; infinite for a NaN.
inline double relative_norm(const at::Tensor& result, const at::Tensor& expected) {
  const at::Tensor here = result.detach().to(at::kCPU).to(at::kDouble);
  const at::Tensor exact = expected.detach().to(at::kCPU).to(at::kDouble);
  const double value = (here - exact).norm().item<double>() / exact.norm().item<double>();
  return std::isfinite(value) ? value : std::numeric_limits<double>::infinity();
}

/// Values of `type` on `device`; with `shifted` one element behind any aligned address.
inline at::Tensor placed(const at::Tensor& values, at::ScalarType type, at::Device device, bool shifted = false) {
  const at::Tensor there = values.to(type).to(device);
  if (!shifted) return there.contiguous();
  at::Tensor room = at::empty({there.numel() + 1}, there.options());
  at::Tensor view = room.narrow(0, 1, there.numel()).view(there.sizes());
  view.copy_(there);
  return view;
}

inline at::Tensor exact(const at::Tensor& t) {
  return t.detach().to(at::kCPU).to(at::kDouble);
}

/// Gradients of sum(upstream * outputs) in the inputs.
inline Results gradients_of(const Results& outputs, const Results& upstream, const Results& inputs) {
  return torch::autograd::grad(outputs, inputs, upstream);
}

inline at::Tensor leaf(const at::Tensor& t) {
  return t.detach().requires_grad_(true);
}

inline Results check_rms_norm(at::Device device) {
  Results all;
  std::uint64_t number = 500;
  for (const at::ScalarType type : kKernelTypes) {
    for (const std::int64_t hidden : {1, 7, 64, 100, 2051, 2052, 8200}) {
      for (const std::int64_t rows : {0, 1, 3}) {
        for (const bool shifted : {false, true}) {
          if (shifted && hidden != 64) continue;
          INFO("hidden " << hidden << ", rows " << rows << ", type " << type << ", shifted " << shifted);
          const at::Tensor x = leaf(placed(random_tensor({rows, hidden}, ++number) * 3.0, at::kFloat, device, shifted));
          const at::Tensor delta = leaf(placed(random_tensor({rows, hidden}, ++number), type, device, shifted));
          const at::Tensor weight = placed(random_tensor({hidden}, ++number), at::kFloat, device, shifted);
          const at::Tensor dy = placed(random_tensor({rows, hidden}, ++number), type, device, shifted);
          const at::Tensor dr = placed(random_tensor({rows, hidden}, ++number), at::kFloat, device, shifted);
          const at::Tensor x64 = leaf(exact(x));
          const at::Tensor delta64 = leaf(exact(delta));

          const ResidualNorm both = add_rms_norm(x, delta, weight, 1e-5, type);
          const ResidualNorm both64 = add_rms_norm_plain(x64, delta64, exact(weight), 1e-5, at::kDouble);
          CHECK(both.normed.scalar_type() == type);
          CHECK(near(both.residual, both64.residual, 1e-6, 1e-6));
          CHECK(near(both.normed, both64.normed, rounding(type), 1e-5));
          const Results gradients = gradients_of({both.normed, both.residual}, {dy, dr}, {x, delta});
          const Results gradients64 =
              gradients_of({both64.normed, both64.residual}, {exact(dy), exact(dr)}, {x64, delta64});
          CHECK(near(gradients[0], gradients64[0], 1e-5, 2e-5));
          CHECK(gradients[1].scalar_type() == type);
          CHECK(near(gradients[1], gradients64[1], rounding(type), 2e-5));
          // The residual alone is asked for: the norm's part is absent, not zero.
          const ResidualNorm again = add_rms_norm(x, delta, weight, 1e-5, type);
          CHECK(same_bits(gradients_of({again.residual}, {dr}, {x})[0], dr));

          const at::Tensor y = rms_norm(x, weight, 1e-5, type);
          CHECK(near(y, rms_norm_plain(x64, exact(weight), 1e-5, at::kDouble), rounding(type), 1e-5));
          const at::Tensor dx = gradients_of({y}, {dy}, {x})[0];
          const at::Tensor dx64 =
              gradients_of({rms_norm_plain(x64, exact(weight), 1e-5, at::kDouble)}, {exact(dy)}, {x64})[0];
          CHECK(near(dx, dx64, 1e-5, 2e-5));
          all.insert(all.end(), {both.normed, both.residual, gradients[0], gradients[1], y, dx});
        }
      }
    }
  }
  return all;
}

inline Results check_swiglu(at::Device device) {
  Results all;
  std::uint64_t number = 1500;
  for (const at::ScalarType type : kKernelTypes) {
    for (const std::int64_t width : {1, 8, 13, 64, 2056}) {
      for (const std::int64_t rows : {0, 1, 5}) {
        for (const bool shifted : {false, true}) {
          if (shifted && width != 64) continue;
          INFO("width " << width << ", rows " << rows << ", type " << type << ", shifted " << shifted);
          const at::Tensor x = leaf(placed(random_tensor({rows, 2 * width}, ++number) * 8.0, type, device, shifted));
          const at::Tensor dy = placed(random_tensor({rows, width}, ++number), type, device, shifted);
          const at::Tensor x64 = leaf(exact(x));
          const at::Tensor y = swiglu(x);
          const at::Tensor y64 = swiglu_plain(x64);
          CHECK(near(y, y64, rounding(type), 1e-5));
          const at::Tensor dx = gradients_of({y}, {dy}, {x})[0];
          CHECK(near(dx, gradients_of({y64}, {exact(dy)}, {x64})[0], rounding(type), 1e-5));
          CHECK(same_bits(gradients_of({swiglu(x * 1, /*may_overwrite=*/true)}, {dy}, {x})[0], dx));
          all.insert(all.end(), {y.detach(), dx});
        }
      }
    }
  }
  const at::Tensor far = at::tensor({-1e4F, 1e4F, 90.0F, 1.0F, 1.0F, 1.0F}).view({1, 6}).to(device);
  CHECK(near(swiglu(far), at::tensor({0.0F, 1e4F, 90.0F}).view({1, 3}), 1e-6, 1e-30));
  return all;
}

inline Results check_rotary(at::Device device) {
  Results all;
  std::uint64_t number = 2500;
  for (const at::ScalarType type : kKernelTypes) {
    for (const std::int64_t head_dim : {2, 6, 16, 64, 128}) {
      for (const std::int64_t rows : {0, 1, 9}) {
        INFO("head_dim " << head_dim << ", rows " << rows << ", type " << type);
        const std::int64_t heads = 5;
        const std::int64_t extra =
            head_dim == 64 ? 8 : 3;  // columns behind the heads: rows that keep and lose alignment
        const at::Tensor angles = random_tensor({rows, head_dim / 2}, ++number) * 3.0;
        const at::Tensor cosine = angles.cos().to(at::kFloat).to(device);
        const at::Tensor sine = angles.sin().to(at::kFloat).to(device);
        const at::Tensor buffer = placed(random_tensor({rows, heads * head_dim + extra}, ++number), type, device);
        const at::Tensor x = exact(buffer).narrow(1, 0, heads * head_dim).reshape({rows, heads, 2, head_dim / 2});
        const at::Tensor c = exact(cosine).unsqueeze(1);
        const at::Tensor s = exact(sine).unsqueeze(1);
        const at::Tensor low = x.select(2, 0) * c - x.select(2, 1) * s;
        const at::Tensor high = x.select(2, 1) * c + x.select(2, 0) * s;
        at::Tensor expected = exact(buffer).clone();
        expected.narrow(1, 0, heads * head_dim).copy_(at::stack({low, high}, 2).reshape({rows, heads * head_dim}));
        at::Tensor turned = buffer.clone();
        rotate_heads(turned, turned, cosine, sine, heads, head_dim, false);
        CHECK(near(turned, expected, rounding(type), 1e-6));
        at::Tensor back = at::zeros_like(buffer);
        rotate_heads(turned, back, cosine, sine, heads, head_dim, true);
        CHECK(near(back.narrow(1, 0, heads * head_dim), exact(buffer).narrow(1, 0, heads * head_dim), 0.0,
                   type == at::kBFloat16 ? 0.02 : 1e-5));
        CHECK(back.narrow(1, heads * head_dim, extra).abs().sum().item<double>() == 0.0);
        all.insert(all.end(), {turned, back});
      }
    }
  }
  return all;
}

inline Results check_low_rank(at::Device device) {
  Results all;
  std::uint64_t number = 3500;
  const std::vector<RowOffsets> members = {{0, 37, 37, 42}, {0, 0}, {0, 1}, {0, 64, 128}, {0, 70, 200, 200}};
  for (const std::int64_t rank : {1, 8, 11, 16, 48, 64, 70}) {
    for (const std::int64_t width : {1, 40, 64, 300, 577, 1040}) {
      const bool small = rank * width > 20000;  // the emulation takes its time
      for (const RowOffsets& offsets : members) {
        if (small && offsets.back() > 42) continue;
        INFO("rank " << rank << ", width " << width << ", rows " << offsets.back());
        const auto count = static_cast<std::int64_t>(offsets.size()) - 1;
        const std::int64_t rows = offsets.back();
        const bool aligned = rank % 8 == 0;  // the others begin and end off any alignment
        const std::int64_t begin = aligned ? 8 : 3;
        const std::int64_t first = aligned ? 8 : 1;
        const at::ScalarType type = at::kBFloat16;
        const at::Tensor x = placed(random_tensor({rows, width + 2 * begin}, ++number), type, device);
        // Of the aligned ones every other meets a factor that lies in the middle of a wider one.
        const std::int64_t aside = number % 2 == 0 ? 3 : 0;
        const at::Tensor m =
            placed(random_tensor({count, rank, width + aside}, ++number), type, device).narrow(2, aside, width);
        const at::Tensor u = placed(random_tensor({rows, rank + 2 * first}, ++number), type, device);
        // The same factor with its rank last, as adapters keep B.
        const at::Tensor rank_last = m.transpose(1, 2).contiguous().transpose(1, 2);
        at::Tensor down = at::full({rows, rank + 2 * first}, 7.0, u.options());
        grouped_down(x, begin, rank_last, down, first, offsets, 0.5);
        at::Tensor again = x.clone();
        grouped_up(u, first, rank_last, again, begin, offsets, 0.5);
        const at::Tensor down_again = down.clone();
        grouped_down(x, begin, m, down, first, offsets, 0.5);
        at::Tensor up = x.clone();
        grouped_up(u, first, m, up, begin, offsets, 0.5);
        at::Tensor outer = at::full({count, rank, width}, 7.0, m.options());
        grouped_outer(u, first, x, begin, outer, offsets, 0.5);
        at::Tensor down64 = at::full({rows, rank + 2 * first}, 7.0, at::kDouble);
        at::Tensor up64 = exact(x).clone();
        at::Tensor outer64 = at::zeros({count, rank, width}, at::kDouble);
        for (std::int64_t i = 0; i < count; ++i) {
          const std::int64_t from = offsets[static_cast<std::size_t>(i)];
          const std::int64_t here = offsets[static_cast<std::size_t>(i) + 1] - from;
          const at::Tensor in = exact(x).narrow(0, from, here).narrow(1, begin, width);
          const at::Tensor thin = exact(u).narrow(0, from, here).narrow(1, first, rank);
          down64.narrow(0, from, here).narrow(1, first, rank).copy_(at::mm(in, exact(m)[i].t()) * 0.5);
          up64.narrow(0, from, here).narrow(1, begin, width).add_(at::mm(thin, exact(m)[i]), 0.5);
          outer64[i].copy_(at::mm(thin.t(), in) * 0.5);
        }
        CHECK(near(down, down64, rounding(type), 1e-5 * std::sqrt(static_cast<double>(width))));
        CHECK(same_bits(down, down_again));
        CHECK(same_bits(up, again));
        CHECK(near(up, up64, rounding(type), 1e-5));
        CHECK(near(outer, outer64, rounding(type), 1e-4));
        all.insert(all.end(), {down, up});
      }
    }
  }
  return all;
}

inline Results check_output_head(at::Device device) {
  Results all;
  std::uint64_t number = 4500;
  for (const at::ScalarType type : kKernelTypes) {
    for (const std::int64_t vocabulary : {3, 64, 1003, 4104}) {
      for (const std::int64_t outputs : {0, 1, 6}) {
        INFO("vocabulary " << vocabulary << ", outputs " << outputs << ", type " << type);
        const at::Tensor hidden = leaf(placed(random_tensor({outputs, 24}, ++number) * 2.0, type, device));
        const at::Tensor head = placed(random_tensor({vocabulary, 24}, ++number), type, device);
        // Not in order, some outputs picked from twice, one not at all.
        const std::vector<std::int64_t> of = outputs == 6
                                                 ? std::vector<std::int64_t>{4, 0, 1, 4, 5, 3}
                                                 : std::vector<std::int64_t>(static_cast<std::size_t>(outputs), 0);
        std::vector<std::int64_t> tokens;
        for (std::size_t i = 0; i < of.size(); ++i) tokens.push_back(static_cast<std::int64_t>(i * 997) % vocabulary);
        const at::Tensor output_of = at::tensor(of, at::kLong);
        const at::Tensor token_of = at::tensor(tokens, at::kLong);
        const at::Tensor weights = random_tensor({output_of.size(0)}, ++number).to(at::kFloat);
        const at::Tensor result = token_log_likelihoods(hidden, head, output_of.to(device), token_of.to(device));
        const at::Tensor hidden64 = leaf(exact(hidden));
        const at::Tensor expected = token_log_likelihoods_plain(hidden64, exact(head), output_of, token_of);
        // Logits of up to about 10 are rounded to bfloat16 before their softmax.
        const bool half = type == at::kBFloat16;
        CHECK(near(result, expected, 0.0, half ? 0.05 : 1e-4));
        const at::Tensor dx = gradients_of({result}, {weights.to(device)}, {hidden})[0];
        const at::Tensor dx64 = gradients_of({expected}, {weights.to(at::kDouble)}, {hidden64})[0];
        CHECK(near(dx, dx64, 0.0, half ? 0.05 : 1e-4));
        all.insert(all.end(), {result.detach(), dx});
        const at::NoGradGuard no_gradients;
        CHECK(near(token_log_likelihoods(hidden, head, output_of.to(device), token_of.to(device)), result, 0.0, 1e-6));
      }
    }
  }
  return all;
}

/// The device's masks have the bits of the host's (made here before kernels are switched on).
inline Results dropout_masks(at::Device device) {
  Results all;
  DropoutKey key;
  key.seed = 0x123456789ABCDEFULL;
  key.step = 41;
  key.site = 7;
  key.members = {3, 11, 70000};
  for (const at::ScalarType type : kKernelTypes) {
    for (const std::int64_t width : {1, 4, 13, 2050}) {
      for (const std::int64_t rows : {0, 1, 9}) {
        const std::vector<std::int64_t> offsets = {0, rows / 2, rows / 2, rows};
        std::vector<std::uint64_t> row_keys;
        for (std::int64_t row = 0; row < rows; ++row)
          row_keys.push_back(~std::uint64_t{0} - (std::uint64_t{1} << 40U) * static_cast<std::uint64_t>(row));
        const at::Tensor x = random_tensor({rows, width}, 77, type).to(device);
        for (const double rate : {0.1, 0.5}) {
          all.push_back(dropout_mask(x, offsets, row_keys, key, rate));
          all.push_back(dropped(x, offsets, row_keys, key, rate));
        }
      }
    }
  }
  return all;
}

/// Seven steps against the plain twin on the CPU; buffers off alignment too.
inline Results check_adamw(at::Device device) {
  Results all;
  for (const std::int64_t width : {1, 57, 64, 8204, 20000}) {
    for (const bool shifted : {false, true}) {
      INFO("width " << width << ", shifted " << shifted);
      AdamWCase there = adamw_case(width, at::kFloat, device);
      const AdamWCase here = adamw_case(width, at::kFloat, at::kCPU);
      AdamWRun run(there);
      if (shifted) run.parameters = placed(run.parameters, at::kFloat, device, true);
      AdamWRun plain(here);
      for (std::uint64_t t = 0; t < 7; ++t) {
        run.step(placed(there.gradients(t), at::kFloat, device, shifted), device_adamw_step);
        plain.step(here.gradients(t), device_adamw_step_plain);
        check_adamw_equal(run, plain, 2e-6);
      }
      CHECK(run.parameters[1].abs().max().item<double>() == 0.0);
      all.insert(all.end(), {run.parameters, run.state.first_moment, run.state.second_moment, run.report.coefficients});
    }
  }
  return all;
}

}  // namespace chorale::test
