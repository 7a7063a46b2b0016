// Every kernel by itself: its time, the least time its bytes or its arithmetic could take on this device, and its plain
// twin's time. The device's limits are measured first: a large copy, a large product.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/errors.hpp"
#include "core/kernels/attention.hpp"
#include "core/kernels/device_adamw.hpp"
#include "core/kernels/device_kernels.hpp"
#include "core/kernels/dropout.hpp"
#include "core/kernels/grouped_low_rank.hpp"
#include "core/kernels/rms_norm.hpp"
#include "core/kernels/rotate.hpp"
#include "core/kernels/swiglu.hpp"
#include "core/model/device.hpp"
#include "core/model/output_head.hpp"
#include "core/model/packed_batch.hpp"
#include "core/model/rotary.hpp"

namespace chorale {
namespace {

struct Shape {
  std::int64_t hidden, heads, kv_heads, head_dim, feed_forward, vocabulary;
};
const std::map<std::string, Shape> kShapes = {
    {"tiny", {192, 6, 6, 32, 512, 4096}},
    {"125m", {768, 12, 12, 64, 2048, 32000}},
    {"1b", {2048, 32, 8, 64, 8192, 128256}},
    {"8b", {4096, 32, 8, 128, 14336, 128256}},
};

struct Options {
  std::string device = "auto", shape, only, json;
  std::int64_t members = 4, tokens = 0, rank = 16, repeats = 7;
};

struct Measured {
  std::string kernel;
  double ms = 0, plain_ms = 0, bytes = 0, flops = 0, limit_ms = 0;
};

class Bench {
 public:
  Bench(const Options& options, c10::Device device)
      : options_(options),
        shape_(kShapes.at(options.shape)),
        device_(device),
        type_(device.is_cuda() ? at::kBFloat16 : at::kFloat),
        rows_(options.members * options.tokens) {
    for (std::int64_t m = 0; m <= options.members; ++m) offsets_.push_back(m * options.tokens);
  }

  void run() {
    measure_limits();
    elementwise();
    low_rank();
    attention_passes();
    output_head();
    optimiser();
  }

  void print() const {
    fmt::print("{} members of {} tokens, shape {}, rank {}, {} on {}; copy {:.0f} GB/s, product {:.2f} TFLOP/s\n\n",
               options_.members, options_.tokens, options_.shape, options_.rank, at::toString(type_), device_.str(),
               bandwidth_ / 1e9, rate_ / 1e12);
    fmt::print(
        "| kernel | ms | GB/s | TFLOP/s | % of limit | plain, ms | plain / this |\n|---|---|---|---|---|---|---|\n");
    for (const Measured& m : results_) {
      fmt::print("| {} | {:.4f} | {:.0f} | {:.2f} | {:.0f} | {} | {} |\n", m.kernel, m.ms, m.bytes / m.ms / 1e6,
                 m.flops / m.ms / 1e9, 100.0 * m.limit_ms / m.ms,
                 m.plain_ms > 0 ? fmt::format("{:.4f}", m.plain_ms) : "-",
                 m.plain_ms > 0 ? fmt::format("{:.2f}", m.plain_ms / m.ms) : "-");
    }
  }

  void write(std::ostream& out) const {
    for (const Measured& m : results_) {
      out << nlohmann::json{{"kernel", m.kernel},
                            {"device", device_.str()},
                            {"shape", options_.shape},
                            {"members", options_.members},
                            {"tokens_per_member", options_.tokens},
                            {"rank", options_.rank},
                            {"ms", m.ms},
                            {"plain_ms", m.plain_ms},
                            {"bytes", m.bytes},
                            {"flops", m.flops},
                            {"limit_ms", m.limit_ms},
                            {"percent_of_limit", 100.0 * m.limit_ms / m.ms},
                            {"copy_bytes_per_second", bandwidth_},
                            {"product_flops_per_second", rate_}}
                 .dump()
          << "\n";
    }
  }

 private:
  using Work = std::function<void()>;

  at::Tensor random(at::IntArrayRef sizes, at::ScalarType type) const {
    return at::randn(sizes, at::TensorOptions().device(device_).dtype(at::kFloat)).to(type);
  }

  void wait() const {
    if (device_.is_cpu()) return;
    const c10::impl::VirtualGuardImpl guard(device_.type());
    guard.synchronizeStream(guard.getStream(device_));
  }

  // Median over the repeats, each as many calls as fill about 30 ms.
  double time(const Work& work) const {
    using Clock = std::chrono::steady_clock;
    const auto calls = [&](std::int64_t count) {
      const auto begin = Clock::now();
      for (std::int64_t i = 0; i < count; ++i) work();
      wait();
      return std::chrono::duration<double, std::milli>(Clock::now() - begin).count() / static_cast<double>(count);
    };
    calls(2);
    const auto count = static_cast<std::int64_t>(std::clamp(30.0 / calls(2), 1.0, 2000.0));
    std::vector<double> times;
    for (std::int64_t i = 0; i < options_.repeats; ++i) times.push_back(calls(count));
    std::nth_element(times.begin(), times.begin() + options_.repeats / 2, times.end());
    return times[static_cast<std::size_t>(options_.repeats / 2)];
  }

  void measure(const std::string& kernel, double bytes, double flops, const Work& work, const Work& plain = {}) {
    if (kernel.find(options_.only) == std::string::npos) return;
    Measured m{kernel, time(work), plain ? time(plain) : 0.0, bytes, flops, 0.0};
    m.limit_ms = 1e3 * std::max(bytes / bandwidth_, flops / rate_);
    std::cerr << fmt::format("{}: {:.4f} ms\n", kernel, m.ms);
    results_.push_back(m);
  }

  void measure_limits() {
    const at::Tensor from = random({device_.is_cuda() ? 256 << 20 : 16 << 20}, at::kFloat);
    const at::Tensor to = at::empty_like(from);
    bandwidth_ = 2.0 * static_cast<double>(from.nbytes()) / (1e-3 * time([&] { to.copy_(from); }));
    const std::int64_t n = device_.is_cuda() ? 8192 : 1024;
    const at::Tensor a = random({n, n}, type_);
    const at::Tensor b = random({n, n}, type_);
    at::Tensor c = at::empty_like(a);
    rate_ = 2.0 * static_cast<double>(n * n * n) / (1e-3 * time([&] { at::mm_out(c, a, b); }));
  }

  double size(std::int64_t columns, at::ScalarType type) const {
    return static_cast<double>(rows_ * columns) * static_cast<double>(c10::elementSize(type));
  }

  // The gradient of f's result for a fixed upstream, the graph kept.
  static Work backward(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& inputs) {
    std::vector<at::Tensor> upstream;
    for (const at::Tensor& output : outputs) upstream.push_back(at::randn_like(output));
    return [=] { torch::autograd::grad(outputs, inputs, upstream, /*retain_graph=*/true); };
  }

  void elementwise() {
    const std::int64_t h = shape_.hidden;
    const at::Tensor x = random({rows_, h}, at::kFloat);
    const at::Tensor delta = random({rows_, h}, type_);
    const at::Tensor weight = random({h}, at::kFloat);
    measure(
        "add + RMS norm", 2 * size(h, at::kFloat) + 2 * size(h, type_), 0,
        [&] { (void)add_rms_norm(x, delta, weight, 1e-5, type_); },
        [&] { (void)add_rms_norm_plain(x, delta, weight, 1e-5, type_); });
    {
      const at::Tensor leaf = x.clone().requires_grad_(true);
      const at::Tensor leaf_delta = delta.clone().requires_grad_(true);
      const ResidualNorm ours = add_rms_norm(leaf, leaf_delta, weight, 1e-5, type_);
      const ResidualNorm plain = add_rms_norm_plain(leaf, leaf_delta, weight, 1e-5, type_);
      measure("add + RMS norm, backward", 3 * size(h, at::kFloat) + 2 * size(h, type_), 0,
              backward({ours.normed, ours.residual}, {leaf, leaf_delta}),
              backward({plain.normed, plain.residual}, {leaf, leaf_delta}));
    }
    const std::int64_t f = shape_.feed_forward;
    const at::Tensor gate_up = random({rows_, 2 * f}, type_);
    measure(
        "SwiGLU", 3 * size(f, type_), 0, [&] { (void)swiglu(gate_up); }, [&] { (void)swiglu_plain(gate_up); });
    {
      const at::Tensor leaf = gate_up.clone().requires_grad_(true);
      measure("SwiGLU, backward", 5 * size(f, type_), 0, backward({swiglu(leaf)}, {leaf}),
              backward({swiglu_plain(leaf)}, {leaf}));
    }
    if (!DeviceKernels(device_)) return;  // on the CPU the rotary embedding is part of attention, masks are drawn apart
    const std::int64_t turned = (shape_.heads + shape_.kv_heads) * shape_.head_dim;
    at::Tensor qkv = random({rows_, turned + shape_.kv_heads * shape_.head_dim}, type_);
    const at::Tensor angles = random({rows_, shape_.head_dim / 2}, at::kFloat);
    const at::Tensor cosine = angles.cos();
    const at::Tensor sine = angles.sin();
    measure("rotary embedding", 2 * size(turned, type_) + size(shape_.head_dim, at::kFloat), 0,
            [&] { rotate_heads(qkv, qkv, cosine, sine, shape_.heads + shape_.kv_heads, shape_.head_dim, false); });
    std::vector<std::uint64_t> keys(static_cast<std::size_t>(rows_));
    for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = i;
    DropoutKey key;
    key.members.assign(static_cast<std::size_t>(options_.members), 0);
    key.device_row_keys = at::arange(rows_, at::TensorOptions().dtype(at::kLong).device(device_));
    measure("dropout", 2 * size(h, type_), 0, [&] { (void)dropped(delta, offsets_, keys, key, 0.1); });
  }

  void low_rank_pair(const std::string& what, std::int64_t width, std::int64_t rank) {
    const at::Tensor x = random({rows_, width}, type_);
    const at::Tensor m = random({options_.members, rank, width}, type_);
    at::Tensor u = random({rows_, rank}, type_);
    at::Tensor y = random({rows_, width}, type_) * 1e-3;
    at::Tensor g = at::empty_like(m);
    const double flops = 2.0 * static_cast<double>(rows_ * width * rank);
    const double factors = static_cast<double>(m.nbytes()) + size(rank, type_);
    const auto members = [&](const at::Tensor& t) { return t.unflatten(0, {options_.members, options_.tokens}); };
    measure(
        what + ", down", size(width, type_) + factors, flops, [&] { grouped_down(x, 0, m, u, 0, offsets_, 1.0); },
        [&] { members(u).baddbmm_(members(x), m.transpose(1, 2), 0.0, 1.0); });
    measure(
        what + ", up", 2 * size(width, type_) + factors, flops, [&] { grouped_up(u, 0, m, y, 0, offsets_, 1e-6); },
        [&] { members(y).baddbmm_(members(u), m, 1.0, 1e-6); });
    measure(what + ", gradient of the factor", size(width, type_) + factors, flops,
            [&] { grouped_outer(u, 0, x, 0, g, offsets_, 1.0); });
  }

  void low_rank() {
    const at::NoGradGuard no_gradients;
    low_rank_pair(fmt::format("low rank {} x {} (q, k, v)", 3 * options_.rank, shape_.hidden), shape_.hidden,
                  3 * options_.rank);
    low_rank_pair(fmt::format("low rank {} x {} (feed-forward)", options_.rank, shape_.feed_forward),
                  shape_.feed_forward, options_.rank);
  }

  void attention_passes() {
    const std::vector<std::int32_t> tokens(static_cast<std::size_t>(options_.tokens), 0);
    PackedBatch batch;
    for (std::int64_t m = 0; m < options_.members; ++m) {
      batch.add_span(tokens.data(), tokens.data() + tokens.size(), -1, 0);
      batch.end_stream();
    }
    ModelConfig config;
    config.head_dim = shape_.head_dim;
    const Rotations turn = rotations(inverse_frequencies(config), batch.positions, at::kFloat);
    const AttentionPlanPtr plan = make_attention_plan(batch.layout, nullptr);
    plan->cosine = turn.cosine.to(device_);
    plan->sine = turn.sine.to(device_);
    const HeadShape heads{shape_.heads, shape_.kv_heads, shape_.head_dim};
    const std::int64_t width = (heads.heads + 2 * heads.kv_heads) * heads.head_dim;
    const at::Tensor qkv = random({rows_, width}, type_).requires_grad_(true);
    const double pairs =
        static_cast<double>(options_.members * options_.tokens) * static_cast<double>(options_.tokens) / 2;
    const double flops = 4.0 * pairs * static_cast<double>(heads.heads * heads.head_dim);
    const double out = size(heads.heads * heads.head_dim, type_);
    measure("attention", size(width, type_) + out, flops,
            [&] {
              const at::NoGradGuard no_gradients;
              (void)attention(qkv, at::Tensor(), plan, heads);
            },
            rows_ > 8192 ? Work()  // its mask would not fit
                         : [&] {
                             const at::NoGradGuard no_gradients;
                             (void)attention_plain(qkv, at::Tensor(), plan, heads);
                           });
    measure("attention, backward", 2 * size(width, type_) + 2 * out, 2.5 * flops,
            backward({attention(qkv, at::Tensor(), plan, heads)}, {qkv}));
  }

  void output_head() {
    const std::int64_t outputs = std::min<std::int64_t>(rows_, device_.is_cuda() ? 2048 : 128);
    const at::Tensor hidden = (random({outputs, shape_.hidden}, at::kFloat) * 0.05).to(type_).requires_grad_(true);
    const at::Tensor head = random({shape_.vocabulary, shape_.hidden}, type_);
    const at::Tensor output_of = at::arange(outputs, at::kLong).to(device_);
    const at::Tensor token_of = at::arange(outputs, at::kLong).to(device_).remainder(shape_.vocabulary);
    const double flops = 4.0 * static_cast<double>(outputs * shape_.vocabulary * shape_.hidden);
    measure("output head, with its gradient", 2 * static_cast<double>(head.nbytes()), flops,
            [&] { (void)token_log_likelihoods(hidden, head, output_of, token_of); });
    measure("output head, backward", 3 * static_cast<double>(hidden.nbytes()), 0,
            backward({token_log_likelihoods(hidden, head, output_of, token_of)}, {hidden}));
    if (!DeviceKernels(device_)) return;
    at::Tensor logits = random({512, shape_.vocabulary}, type_);
    at::Tensor totals = at::empty({512}, logits.options().dtype(at::kFloat));
    device::SoftmaxRows a;
    a.type = kernel_type(type_);
    a.logits = logits.mutable_data_ptr();
    a.log_totals = totals.mutable_data_ptr<float>();
    a.rows = 512;
    a.vocabulary = shape_.vocabulary;
    a.overwrite = true;
    measure(
        "softmax over the vocabulary, in place", 3 * static_cast<double>(logits.nbytes()), 0,
        [&] { DeviceKernels(device_).run(&device::Kernels::softmax_rows, a); },
        [&] { (void)at::log_softmax(logits.to(at::kFloat), 1).exp().to(type_); });
  }

  void optimiser() {
    const std::int64_t width = (device_.is_cuda() ? 11 : 1) * (1 << 20);
    at::Tensor parameters = random({options_.members, width}, at::kFloat);
    const at::Tensor gradients = random({options_.members, width}, at::kFloat);
    const at::Tensor copy = parameters.to(at::kBFloat16);
    AdamWState state = make_adamw_state(parameters);
    AdamWReport report = make_adamw_report(parameters);
    const at::TensorOptions doubles = at::TensorOptions().dtype(at::kDouble).device(device_);
    AdamWPlan plan;
    plan.settings.clip_norm = 1.0;
    plan.learning_rates = at::full({options_.members}, 1e-6, doubles);
    plan.factors = at::ones({1}, doubles);
    plan.segment_ends = at::full({1}, width, doubles.dtype(at::kLong));
    plan.segment_decays = at::zeros({1}, doubles);
    const auto count = static_cast<double>(options_.members * width);
    measure(
        "norms, decisions and AdamW", count * (4 + 28 + 2), 0,
        [&] { device_adamw_step(parameters, gradients, copy, plan, state, report); },
        [&] { device_adamw_step_plain(parameters, gradients, copy, plan, state, report); });
  }

  Options options_;
  Shape shape_;
  c10::Device device_;
  at::ScalarType type_;
  std::int64_t rows_;
  RowOffsets offsets_;
  double bandwidth_ = 1, rate_ = 1;  // bytes and operations per second
  std::vector<Measured> results_;
};

int run(int argc, char** argv) {
  Options options;
  CLI::App app{
      "Times every kernel by itself against the device's measured limits.\n"
      "Example: kernel_bench --device cuda --shape 1b --members 4 --tokens 2048 --json kernels.jsonl"};
  app.add_option("--device", options.device, "auto, cpu or cuda");
  app.add_option("--shape", options.shape, "tiny, 125m, 1b or 8b (default: 1b on a GPU, 125m elsewhere)");
  app.add_option("--members", options.members, "members whose rows lie side by side")->check(CLI::PositiveNumber);
  app.add_option("--tokens", options.tokens, "rows of each (default: 4096 on a GPU, 128 elsewhere)");
  app.add_option("--rank", options.rank, "of the adapters")->check(CLI::PositiveNumber);
  app.add_option("--repeats", options.repeats, "timings, of which the median counts")->check(CLI::PositiveNumber);
  app.add_option("--only", options.only, "kernels whose name holds this");
  app.add_option("--json", options.json, "also one JSON object per kernel to this file");
  CLI11_PARSE(app, argc, argv);
  const c10::Device device = choose_device(options.device);
  start_threads(0);
  if (options.shape.empty()) options.shape = device.is_cuda() ? "1b" : "125m";
  if (options.tokens <= 0) options.tokens = device.is_cuda() ? 4096 : 128;
  if (kShapes.count(options.shape) == 0) {
    throw UsageError("--shape " + options.shape + ": there is no such shape. Use tiny, 125m, 1b or 8b.");
  }
  Bench bench(options, device);
  bench.run();
  bench.print();
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    bench.write(file);
    if (!file) throw StorageError(options.json + ": could not be written. Give a place that can be.");
  }
  return 0;
}

}  // namespace
}  // namespace chorale

int main(int argc, char** argv) {
  try {
    return chorale::run(argc, argv);
  } catch (const chorale::Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.code());
  }
}
