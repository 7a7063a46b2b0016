// Every operation of core/kernels on the GPU against its fused twin on the CPU: values and gradients.
#include "core/kernels/adapted_linear.hpp"
#include "core/kernels/attention.hpp"
#include "core/kernels/grouped_low_rank.hpp"
#include "core/kernels/rms_norm.hpp"
#include "core/kernels/swiglu.hpp"
#include "core/model/packed_batch.hpp"
#include "core/model/rotary.hpp"
#include "core/training/adamw.hpp"
#include "gpu/gpu_world.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

// Relative to the largest value: what two orders of summation may differ by.
double tolerance(at::ScalarType type) {
  return type == at::kDouble ? 1e-12 : 1e-5;
}

double relative(const at::Tensor& here, const at::Tensor& expected) {
  return difference(here.to(at::kCPU), expected) / std::max(1e-30, expected.abs().max().item<double>());
}

// f(device) on both devices, at each of `points`: the value, and the gradient of a weighted sum of it.
using Operation = std::function<at::Tensor(const at::Tensor&)>;
void compare(const std::function<Operation(at::Device)>& make, const at::Tensor& point) {
  const Operation cpu = make(at::kCPU);
  const Operation there = make(gpu());
  const at::Tensor expected = cpu(point);
  const at::Tensor result = there(point.to(gpu()));
  CHECK(result.device() == gpu());
  CHECK(relative(result, expected) < tolerance(point.scalar_type()));
  const at::Tensor weights = random_tensor(expected.sizes(), 90, expected.scalar_type());
  CHECK(relative(autograd_gradient(there, point.to(gpu()), weights.to(gpu())), autograd_gradient(cpu, point, weights)) <
        tolerance(point.scalar_type()));
}

constexpr std::array kTypes = {at::kFloat, at::kDouble};

constexpr std::int64_t kIn = 24;
constexpr std::int64_t kOut = 40;

// Three members of 9, 0 and 7 rows; two adapted linears with a gap between their columns.
LowRankTermPtr term_of(double dropout, at::ScalarType type, at::Device device) {
  auto term = c10::make_intrusive<LowRankTerm>();
  term->frozen = FrozenLinear(random_tensor({kOut, kIn}, 31, type).to(device));
  term->stream_offsets = {0, 9, 9, 16};
  term->columns = {{0, 16, 3}, {24, 16, 4}};
  term->rank = 4;
  term->scale = 1.7;
  term->dropout = dropout;
  term->dropout_key = {5, 2, 0, {0, 1, 2}};
  for (std::uint64_t row = 0; row < 16; ++row) term->row_keys.push_back(100 + row);
  return term;
}

// A common prefix with two prompts, one of which has two options; a stream of its own; padding.
PackedBatch tree_batch() {
  PackedBatch batch;
  const std::vector<std::int32_t> tokens(16, 0);
  const auto span = [&](std::int64_t length, std::int64_t parent) {
    return batch.add_span(tokens.data(), tokens.data() + length, parent, 0);
  };
  const std::int64_t common = span(3, -1);
  const std::int64_t prompt = span(4, common);
  span(2, prompt);
  span(1, prompt);
  batch.add_output(batch.rows() - 1);
  span(5, common);
  batch.end_stream();
  span(6, -1);
  batch.add_padding(2);
  batch.end_stream();
  return batch;
}

}  // namespace

TEST_CASE("RMS norm on the GPU equals the CPU's") {
  if (!has_gpus()) return;
  for (const at::ScalarType type : kTypes) {
    for (const std::int64_t hidden : {7, 576}) {
      const auto make = [&](at::Device device) {
        const at::Tensor weight = random_tensor({hidden}, 2, type).to(device);
        return [=](const at::Tensor& x) { return rms_norm(x, weight, 1e-5, type); };
      };
      compare(make, random_tensor({33, hidden}, 1, type) * 3.0);
    }
  }
}

TEST_CASE("SwiGLU on the GPU equals the CPU's") {
  if (!has_gpus()) return;
  for (const at::ScalarType type : kTypes) {
    compare([](at::Device) { return [](const at::Tensor& x) { return swiglu(x); }; },
            random_tensor({9, 26}, 8, type) * 6.0);
  }
}

TEST_CASE("packed attention on the GPU equals the CPU's") {
  if (!has_gpus()) return;
  const HeadShape shape{6, 2, 8};
  const PackedBatch batch = tree_batch();
  ModelConfig config;
  config.head_dim = shape.head_dim;
  for (const at::ScalarType type : kTypes) {
    const auto make = [&](at::Device device) {
      const AttentionPlanPtr plan = make_attention_plan(batch.layout, nullptr);
      const Rotations turn = rotations(inverse_frequencies(config), batch.positions, type);
      plan->cosine = turn.cosine.to(device);
      plan->sine = turn.sine.to(device);
      return [=](const at::Tensor& qkv) { return attention(qkv, at::Tensor(), plan, shape); };
    };
    compare(make, random_tensor({batch.rows(), (shape.heads + 2 * shape.kv_heads) * shape.head_dim}, 21, type) * 2.0);
  }
}

TEST_CASE("the adapted product on the GPU equals the CPU's in x and both factors, with dropout too") {
  if (!has_gpus()) return;
  for (const at::ScalarType type : kTypes) {
    const at::Tensor x = random_tensor({16, kIn}, 32, type);
    const at::Tensor a = random_tensor({3, 8, kIn}, 33, type);
    const at::Tensor b = random_tensor({3, 32, 4}, 34, type);
    for (const double dropout : {0.0, 0.4}) {
      const auto with = [&](const auto& apply) {
        return [&, apply](at::Device device) {
          const LowRankTermPtr term = term_of(dropout, type, device);
          return [=](const at::Tensor& point) { return apply(point, term, device); };
        };
      };
      compare(with([&](const at::Tensor& point, const LowRankTermPtr& term, at::Device device) {
                return adapted_linear(point, a.to(device), b.to(device), term);
              }),
              x);
      compare(with([&](const at::Tensor& point, const LowRankTermPtr& term, at::Device device) {
                return adapted_linear(x.to(device), point, b.to(device), term);
              }),
              a);
      compare(with([&](const at::Tensor& point, const LowRankTermPtr& term, at::Device device) {
                return adapted_linear(x.to(device), a.to(device), point, term);
              }),
              b);
    }
  }
}

TEST_CASE("low-rank products of all members on the GPU equal the CPU's") {
  if (!has_gpus()) return;
  const RowOffsets offsets = {0, 9, 9, 16};
  for (const at::ScalarType type : kTypes) {
    const at::Tensor x = random_tensor({16, 40}, 41, type);
    const at::Tensor m = random_tensor({3, 4, 24}, 42, type);
    const auto products = [&](at::Device device) {
      at::Tensor u = at::zeros({16, 6}, x.options()).to(device);
      at::Tensor y = random_tensor({16, 40}, 43, type).to(device);
      at::Tensor g = at::empty({3, 4, 24}, x.options()).to(device);
      grouped_down(x.to(device), 10, m.to(device), u, 1, offsets, 0.7);
      grouped_up(u, 1, m.to(device), y, 12, offsets, 1.3);
      grouped_outer(u, 1, x.to(device), 10, g, offsets, 0.9);
      return std::vector<at::Tensor>{u, y, g};
    };
    const std::vector<at::Tensor> expected = products(at::kCPU);
    const std::vector<at::Tensor> result = products(gpu());
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(relative(result[i], expected[i]) < tolerance(type));
  }
}

TEST_CASE("AdamW on the GPU equals the CPU's, and leaves members that stopped alone") {
  if (!has_gpus()) return;
  for (const at::ScalarType type : kTypes) {
    const auto trained = [&](at::Device device) {
      at::Tensor parameters = random_tensor({2, 50}, 51, type).to(device);
      AdamW optimiser(parameters, OptimiserConfig(), {{1e-2, 2e-2}, {0.5, 1.0}, 3.0}, {{0, 20, 0.1}, {20, 50, 0.0}});
      std::vector<MemberState> states(2);
      at::Tensor norms;
      for (std::uint64_t step = 0; step < 5; ++step) {
        states[1].training = step < 3;
        optimiser.follow(states);
        norms = optimiser.step(parameters, random_tensor({2, 50}, 60 + step, type).to(device)).norms;
      }
      return std::vector<at::Tensor>{parameters, optimiser.first_moment(), optimiser.second_moment(), norms};
    };
    const std::vector<at::Tensor> expected = trained(at::kCPU);
    const std::vector<at::Tensor> result = trained(gpu());
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(relative(result[i], expected[i]) < tolerance(type));
  }
}
