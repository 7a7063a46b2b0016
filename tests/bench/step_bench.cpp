// Times optimiser steps of M members: all in one Trainer (--variant fused), or M Trainers of one member each, one after
// the other (--variant separate). Under mpirun the fused members are placed on the ranks as in training. Rank 0 prints
// one JSON line.
#include <fmt/format.h>
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <span>

#include "bench/bench_base.hpp"
#include "core/adapters/adapter_bank.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/inference/frozen_prefix.hpp"
#include "core/model/decoder.hpp"
#include "core/model/device.hpp"
#include "core/parallel/communicator.hpp"
#include "core/training/trainer.hpp"
#include "distributed/placement.hpp"
#include "distributed/world.hpp"

namespace chorale::bench {
namespace {

struct Options {
  std::string variant = "fused";
  std::string shape = "tiny";
  std::string layers = "all";
  std::int64_t members = 5;
  std::int64_t batch = 8;
  std::int64_t sequence = 32;
  std::int64_t steps = 20;
  int threads = 0;
  bool paced = false;
};

constexpr std::size_t kStepsPerEpoch = 4;
constexpr std::int64_t kLabels = 4;

// "all", "7" or "20-29".
std::vector<std::int64_t> layers_named(const std::string& text) {
  if (text == "all") return {};
  const std::size_t dash = text.find('-');
  const std::int64_t first = std::stoll(text.substr(0, dash));
  const std::int64_t last = dash == std::string::npos ? first : std::stoll(text.substr(dash + 1));
  std::vector<std::int64_t> layers;
  for (std::int64_t layer = first; layer <= last; ++layer) layers.push_back(layer);
  return layers;
}

// Prompts of `sequence` random tokens without a common beginning, each with one of four label tokens.
ExampleSet random_examples(const Options& options, const ModelConfig& config) {
  RandomSequence random(RandomStream(3, 0, Purpose::test, 1));
  const auto vocabulary = static_cast<std::uint32_t>(config.vocabulary);
  ExampleSet set;
  set.name = "train";
  set.path = "memory";
  for (std::size_t i = 0; i < kStepsPerEpoch * static_cast<std::size_t>(options.batch); ++i) {
    Example example;
    example.id = std::to_string(i);
    for (std::int64_t t = 0; t < options.sequence; ++t) {
      example.prompt.push_back(static_cast<TokenId>(random.next() % vocabulary));
    }
    for (std::int64_t k = 0; k < kLabels; ++k) {
      example.label_tokens.push_back(static_cast<TokenId>(10 + k));
      example.choices.push_back(std::to_string(k));
    }
    example.label = static_cast<std::int32_t>(i % kLabels);
    set.examples.push_back(std::move(example));
  }
  return set;
}

double milliseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return 0.5 * (values[(n - 1) / 2] + values[n / 2]);
}

// The peak of resident memory counts from here on: setting up is not what is measured.
void forget_peak_memory() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
}

double peak_gigabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024.0 / 1e9;
  }
  return 0.0;
}

class LastLoss : public TrainingObserver {
 public:
  void stepped(const StepReport& report) override {
    for (const MemberReport& member : report.members) {
      if (member.member == 0) loss = member.loss;
    }
  }
  double loss = 0.0;  // of member 0: the same in both variants, or they do not do the same work
};

struct Part {
  std::unique_ptr<AdapterBank> bank;
  std::unique_ptr<Trainer> trainer;
};

// The largest value any rank gives.
double largest(World& world, double value) {
  double result = value;
  for (const auto& bytes : world.everyone().all_gather(std::as_bytes(std::span(&value, 1)))) {
    double other = 0.0;
    std::memcpy(&other, bytes.data(), sizeof other);
    result = std::max(result, other);
  }
  return result;
}

// Milliseconds of summing the group's gradients over its ranks when all of them are there.
double all_reduce_ms(World& world, Communicator& group, AdapterBank& bank) {
  constexpr int kRepeats = 20;
  std::vector<double> times;
  for (int i = 0; i < kRepeats; ++i) {
    static_cast<void>(largest(world, 0.0));  // everybody has arrived
    const double begin = milliseconds();
    group.all_reduce_sum(bank.gradients());
    times.push_back(milliseconds() - begin);
  }
  return median(times);
}

void measure(const Options& options, World& world) {
  if (options.variant != "fused" && options.variant != "separate") {
    throw UsageError("--variant: use fused or separate.");
  }
  if (options.variant != "fused" && world.size() > 1) throw UsageError("--variant: several ranks share fused members.");
  const int threads = start_threads(options.threads, world.node_size());
  const Placement placement = place(options.members, world.size(), std::nullopt);
  const std::int64_t number = placement.group_of(world.rank());
  const PlacementGroup& place = placement.groups[static_cast<std::size_t>(number)];
  const std::unique_ptr<Communicator> group = world.split(number);
  auto base = std::make_unique<BenchBase>(shape_named(options.shape));
  const ModelConfig config = base->config();
  const Decoder decoder(*base, {at::kFloat, at::kCPU});
  base.reset();
  const ExampleSet set = random_examples(options, config);
  const ExampleBatcher train(set, TaskKind::multiple_choice, Scoring::label_token, at::kCPU, at::kFloat);
  // What the program itself sets (launch/main.cpp), after the base's own memory went back.
  forget_peak_memory();
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);

  AdapterConfig adapter;
  adapter.rank = 8;
  adapter.targets = kAdapterTargets;
  adapter.layers = layers_named(options.layers);
  TrainerInputs inputs;
  LastLoss observer;
  inputs.decoder = &decoder;
  inputs.train = &train;
  inputs.training.batch_size = options.batch;
  const auto warm_up = static_cast<std::int64_t>(kStepsPerEpoch);  // one epoch: fills the frozen prefix too
  inputs.training.steps = warm_up + options.steps;
  inputs.prefix_budget = 1ULL << 32U;
  inputs.group = group.get();
  inputs.observer = &observer;

  std::vector<std::uint32_t> members(static_cast<std::size_t>(place.members));
  std::iota(members.begin(), members.end(), static_cast<std::uint32_t>(place.first_member));
  std::vector<Part> parts;
  const auto add_part = [&](std::vector<std::uint32_t> of) {
    BankOptions bank;
    bank.members = std::move(of);
    parts.push_back({std::make_unique<AdapterBank>(config, adapter, bank), nullptr});
    inputs.bank = parts.back().bank.get();
    parts.back().trainer = std::make_unique<Trainer>(inputs);
  };
  if (options.variant == "fused") add_part(members);
  if (options.variant == "separate") {
    for (const std::uint32_t member : members) add_part({member});
  }
  // What the frozen layers cost, once per run: the share of one member's batch.
  double prefix_ms = 0.0;
  if (const std::int64_t end = parts.front().bank->layout().lowest_layer(); end > 0) {
    FrozenPrefix prefix(decoder, train, end, inputs.prefix_budget);
    const double begin = milliseconds();
    prefix.fill();
    prefix_ms = (milliseconds() - begin) / static_cast<double>(kStepsPerEpoch);
  }
  const auto step = [&] {
    const double begin = milliseconds();
    for (Part& part : parts) part.trainer->step();
    return milliseconds() - begin;
  };
  for (std::int64_t i = 0; i < warm_up; ++i) step();
  std::vector<double> times;
  // Paced: a step for every line read, so that programs that are compared can take turns.
  std::string line;
  if (options.paced) std::cout << "ready" << std::endl;
  while (static_cast<std::int64_t>(times.size()) < options.steps) {
    if (options.paced && !std::getline(std::cin, line)) throw UsageError("--paced: standard input ended early.");
    times.push_back(step());
    if (options.paced) std::cout << times.back() << std::endl;
  }
  const double ms = largest(world, median(times));
  const double exchange = all_reduce_ms(world, *group, *parts.front().bank);
  const std::int64_t tokens = options.batch * options.sequence;
  const nlohmann::json result = {
      {"variant", "chorale " + options.variant},
      {"device", "cpu"},
      {"ranks", world.size()},
      {"groups", placement.groups.size()},
      {"threads", threads},
      {"ms_all_reduce", exchange},
      {"mb_reduced", group->size() > 1 ? parts.front().bank->gradients().nbytes() * 1e-6 : 0.0},
      {"shape", options.shape},
      {"layers", options.layers},
      {"members", options.members},
      {"tokens_per_member", tokens},
      {"ms_step", ms},
      {"ms_fastest", *std::min_element(times.begin(), times.end())},
      {"ms_prefix", prefix_ms},
      {"tokens_per_second", static_cast<double>(tokens * options.members) / ms * 1e3},
      {"peak_gb", peak_gigabytes()},
      {"loss", observer.loss}};
  if (world.is_root()) std::cout << result.dump() << std::endl;
}

}  // namespace
}  // namespace chorale::bench

int main(int argc, char** argv) {
  chorale::bench::Options options;
  CLI::App app("Times optimiser steps of an ensemble on a random base.", "step_bench");
  app.add_option("--variant", options.variant, "fused or separate");
  app.add_option("--shape", options.shape, "tiny, 125m or smollm2");
  app.add_option("--layers", options.layers, "layers with adapters: all, or FIRST-LAST");
  app.add_option("--members", options.members)->check(CLI::PositiveNumber);
  app.add_option("--batch", options.batch, "examples per member and step")->check(CLI::PositiveNumber);
  app.add_option("--seq", options.sequence, "tokens per example")->check(CLI::PositiveNumber);
  app.add_option("--steps", options.steps, "timed steps")->check(CLI::PositiveNumber);
  app.add_option("--threads", options.threads, "0: all cores");
  app.add_flag("--paced", options.paced, "one step for each line on standard input");
  try {
    app.parse(argc, argv);
    chorale::World world = chorale::World::start();
    chorale::bench::measure(options, world);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    std::cerr << fmt::format("step_bench: error: {}\n", error.what());
    return 1;
  }
  return 0;
}
