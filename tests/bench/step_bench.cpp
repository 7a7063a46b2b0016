// Times optimiser steps of M members on a random base: all in one Trainer (--variant fused), or M Trainers of one
// member each, one after the other (--variant separate); or evaluations of M members (--variant evaluate,
// evaluate-separate, evaluate-merged). Under mpirun the fused members are placed on the ranks as in training. Rank 0
// prints one JSON line.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <iostream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <span>

#include "bench/bench_base.hpp"
#include "bench/bench_options.hpp"
#include "bench/check.hpp"
#include "bench/meter.hpp"
#include "bench/profile.hpp"
#include "bench/training_setup.hpp"
#include "core/adapters/adapter_bank.hpp"
#include "core/base/process_memory.hpp"
#include "core/inference/predictor.hpp"
#include "core/model/decoder.hpp"
#include "core/model/device.hpp"
#include "core/parallel/communicator.hpp"
#include "distributed/gpu_cards.hpp"
#include "distributed/gpu_list.hpp"
#include "distributed/placement.hpp"
#include "distributed/shared_weights.hpp"
#include "distributed/world.hpp"

namespace chorale::bench {
namespace {

constexpr std::int64_t kPrefixEpochs = 5;

at::ScalarType type_of(const Options& options, c10::Device device) {
  if (options.dtype == "auto") return device.is_cpu() ? at::kFloat : at::kBFloat16;
  if (options.dtype == "float32") return at::kFloat;
  if (options.dtype == "bfloat16") return at::kBFloat16;
  throw UsageError(fmt::format("--dtype: '{}' is unknown. Use auto, float32 or bfloat16.", options.dtype));
}

// By a known card's data sheet; elsewhere measured.
Peak peak_of(c10::Device device, at::ScalarType type) {
  if (device.is_cuda() && type == at::kBFloat16) {
    const std::string name = list_gpus().at(static_cast<std::size_t>(std::max<int>(device.index(), 0))).name;
    for (const GpuCard& card : kGpuCards) {
      if (card.driver_name == name) return {card.bfloat16_flops, "the card's stated bfloat16 peak"};
    }
  }
  return measured_peak(device, type);
}

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

struct Part {
  std::unique_ptr<AdapterBank> bank;
  std::unique_ptr<Trainer> trainer;
  std::unique_ptr<Predictor> predictor;
};

// One unit of what is measured, by all members of this rank.
class Work {
 public:
  Work(const Options& options, const Decoder& decoder, const ExampleBatcher& set, Communicator& group,
       const std::vector<std::uint32_t>& members, std::int64_t steps)
      : options_(options), decoder_(decoder), set_(set), group_(group), steps_(steps) {
    if (options.variant.ends_with("separate")) {
      for (const std::uint32_t member : members) add({member});
    } else {
      add(members);
    }
  }

  void run() {
    for (Part& part : parts_) {
      if (part.trainer) {
        part.trainer->step();
      } else if (options_.answer_only) {
        static_cast<void>(part.predictor->choices(*part.bank, [](std::size_t) {}));
      } else {
        static_cast<void>(part.predictor->tokens(*part.bank, [](std::size_t) {}));
      }
    }
  }

  // Losses come home.
  void settle() {
    for (Part& part : parts_) {
      if (part.trainer) part.trainer->settle();
    }
  }

  [[nodiscard]] AdapterBank& bank() { return *parts_.front().bank; }
  // Of the first member: the same in all variants, or they do not do the same work.
  [[nodiscard]] double loss() const { return first_.losses.empty() ? 0.0 : first_.losses.front(); }

 private:
  void add(const std::vector<std::uint32_t>& members) {
    BankOptions bank;
    bank.members = members;
    bank.device = decoder_.device();
    Part part;
    part.bank = std::make_unique<AdapterBank>(decoder_.config(), adapter_of(options_, decoder_.config()), bank);
    if (options_.variant.starts_with("evaluate")) {
      const std::int64_t lowest = options_.no_prefix ? 0 : part.bank->layout().lowest_layer();
      part.predictor = std::make_unique<Predictor>(decoder_, set_, lowest, options_.batch, 0);
      const bool merged = options_.variant == "evaluate-merged";
      part.predictor->merge(merged ? Merging::always : Merging::never, std::numeric_limits<std::uint64_t>::max());
    } else {
      LastLosses& observer = parts_.empty() ? first_ : others_;
      TrainerInputs inputs = trainer_inputs(options_, decoder_, set_, *part.bank, group_, observer);
      inputs.training.steps = steps_;
      part.trainer = std::make_unique<Trainer>(inputs);
    }
    parts_.push_back(std::move(part));
  }

  const Options& options_;
  const Decoder& decoder_;
  const ExampleBatcher& set_;
  Communicator& group_;
  std::int64_t steps_;
  LastLosses first_, others_;
  std::vector<Part> parts_;
};

struct Times {
  std::vector<double> wall, cpu;  // ms per step, one entry per turn
};

Times timed(const Options& options, c10::Device device, Work& work) {
  Times times;
  // Paced: a turn for every line read, so that programs that are compared can take turns.
  std::string line;
  if (options.paced) std::cout << "ready" << std::endl;
  for (std::int64_t done = 0; done < options.steps; done += options.turn) {
    if (options.paced && !std::getline(std::cin, line)) throw UsageError("--paced: standard input ended early.");
    const double cpu = cpu_milliseconds();
    const double begin = milliseconds();
    for (std::int64_t i = 0; i < options.turn; ++i) work.run();
    wait_for(device);
    times.wall.push_back((milliseconds() - begin) / static_cast<double>(options.turn));
    times.cpu.push_back((cpu_milliseconds() - cpu) / static_cast<double>(options.turn));
    if (options.paced) std::cout << times.wall.back() << std::endl;
  }
  return times;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::string variant_name(const Options& options) {
  if (options.variant == "fused") return "chorale";
  if (options.variant == "separate") return "chorale, one member at a time";
  if (options.variant == "evaluate") return "chorale, evaluation";
  if (options.variant == "evaluate-merged") return "chorale, evaluation with merged adapters";
  return "chorale, evaluation of one member at a time";
}

void measure(Options options, World& world) {
  const bool evaluation = options.variant.starts_with("evaluate");
  if (world.size() > 1 && options.variant.ends_with("separate")) {
    throw UsageError("--variant: several ranks share fused members.");
  }
  const int threads = start_threads(options.threads, world.node_size());
  const c10::Device device = choose_device(options.device, world.node_rank());
  const Placement placement = place(options.members, world.size(), std::nullopt);
  const std::int64_t number = placement.group_of(world.rank());
  const PlacementGroup& place = placement.groups[static_cast<std::size_t>(number)];
  const std::unique_ptr<Communicator> group = world.split(number);
  const BenchBase base(shape_named(options.shape));
  const ModelConfig& config = base.config();
  DecoderOptions weights{type_of(options, device), device};
  weights.shared = share_weights(can_be_shared(weights), world);
  std::optional<Decoder> made;
  world.together([&] { made.emplace(base, weights); });
  const Decoder& decoder = *made;
  const Peak peak = peak_of(device, decoder.dtype());
  if (options.profile) {
    std::cout << profile(options, decoder, peak) << std::flush;
    return;
  }
  nlohmann::json checked;
  if (options.check && world.size() == 1) {
    const CheckResult found = check(options, base, decoder);
    checked = {{"plain_loss", found.plain_loss},
               {"plain_gradient", found.plain_gradient},
               {"alone_loss", found.alone_loss},
               {"alone_update", found.alone_update}};
  }

  const TaskKind kind = options.answer_only ? TaskKind::multiple_choice : TaskKind::completion;
  const ExampleSet set =
      random_examples(options, config, evaluation ? static_cast<std::size_t>(options.batches) : kStepsPerEpoch);
  const ExampleBatcher batcher(set, kind, Scoring::label_token, device, decoder.residual_dtype());
  std::vector<std::uint32_t> members(static_cast<std::size_t>(place.members));
  std::iota(members.begin(), members.end(), static_cast<std::uint32_t>(place.first_member));
  // With adapters above a frozen prefix, whole runs are measured: the first epoch computes what the others reuse.
  const bool whole_run = options.share_batch && options.layers != "all" && !evaluation;
  const auto epoch = static_cast<std::int64_t>(kStepsPerEpoch);
  if (whole_run) options.steps = kPrefixEpochs * epoch;
  const std::int64_t warm_up = options.turn * ((epoch + options.turn - 1) / options.turn);
  const auto make = [&](std::int64_t steps) {
    return std::make_unique<Work>(options, decoder, batcher, *group, members, steps);
  };
  auto work = make(warm_up + options.steps + options.turn);
  for (std::int64_t i = 0; i < warm_up; ++i) work->run();
  if (whole_run) work = make(options.steps);
  wait_for(device);
  forget_peak_memory(device);
  const Times times = timed(options, device, *work);
  work->settle();

  const double ms = largest(world, whole_run ? mean(times.wall) : median(times.wall));
  const double memory = largest(world, peak_gigabytes(device));
  // Once more, for another program may have been starting the first time.
  const double best = std::max(peak.operations, peak_of(device, decoder.dtype()).operations);
  const std::int64_t tokens = options.batch * options.sequence * (evaluation ? options.batches : 1);
  const double operations = evaluation ? evaluation_operations(options, config) * static_cast<double>(options.batches)
                                       : step_operations(options, config);
  const double ranks = device.is_cpu() ? static_cast<double>(world.size()) : 1.0;
  nlohmann::json result = {
      {"variant", variant_name(options) + (options.no_prefix ? ", prefix per member and step" : "")},
      {"device", device.is_cpu() ? "cpu" : "cuda"},
      {"shape", options.shape},
      {"members", options.members},
      {"tokens_per_member", tokens},
      {"ms_step", ms},
      {"tokens_per_second", static_cast<double>(tokens * options.members) / ms * 1e3},
      {"mfu", nullptr},
      {"peak_gb", memory},
      {"peak_tflops", best * ranks * 1e-12},
      {"peak_is", peak.source},
      {"ms_fastest", *std::min_element(times.wall.begin(), times.wall.end())},
      {"ms_cpu", whole_run ? mean(times.cpu) : median(times.cpu)},
      {"rank", options.rank},
      {"targets", options.targets},
      {"layers", options.layers},
      {"answer_only", options.answer_only},
      {"dtype", decoder.dtype() == at::kFloat ? "float32" : "bfloat16"},
      {"ranks", world.size()},
      {"groups", placement.groups.size()},
      {"threads", threads},
      {"loss", work->loss()}};
  // The count is of steps that go through all layers both ways.
  if (options.layers == "all") result["mfu"] = operations / (ms * 1e-3 * best * ranks);
  if (!checked.is_null()) result["checked"] = checked;
  if (world.size() > 1) {
    result["ms_all_reduce"] = all_reduce_ms(world, *group, work->bank());
    result["mb_reduced"] = group->size() > 1 ? static_cast<double>(work->bank().gradients().nbytes()) * 1e-6 : 0.0;
  }
  if (world.is_root()) std::cout << result.dump() << std::endl;
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("--variant", options.variant)
      ->check(CLI::IsMember({"fused", "separate", "evaluate", "evaluate-separate", "evaluate-merged"}));
  app.add_option("--device", options.device)->check(CLI::IsMember({"cpu", "cuda"}));
  app.add_option("--recompute", options.recompute, "activations computed again: none, light or full");
  app.add_option("--dtype", options.dtype, "auto: bfloat16 on a GPU, float32 on a CPU");
  app.add_option("--shape", options.shape, "tiny, 125m, smollm2, 0.5b, 1b or 8b");
  app.add_option("--members", options.members)->check(CLI::PositiveNumber);
  app.add_option("--batch", options.batch, "examples per member and step")->check(CLI::PositiveNumber);
  app.add_option("--seq", options.sequence, "tokens per example")->check(CLI::PositiveNumber);
  app.add_option("--rank", options.rank)->check(CLI::PositiveNumber);
  app.add_option("--targets", options.targets, "qv, or all linear layers");
  app.add_option("--layers", options.layers, "layers with adapters: all, top-quarter, FIRST or FIRST-LAST");
  app.add_option("--steps", options.steps, "timed steps")->check(CLI::PositiveNumber);
  app.add_option("--memory", options.memory, "GB of a GPU's memory to use (0: all)")->check(CLI::NonNegativeNumber);
  app.add_option("--batches", options.batches, "of the set that is evaluated")->check(CLI::PositiveNumber);
  app.add_option("--turn", options.turn, "steps between two looks at the clock")->check(CLI::PositiveNumber);
  app.add_option("--threads", options.threads, "0: all cores");
  app.add_flag("--answer-only", options.answer_only, "loss on a label token behind each example, not on all tokens");
  app.add_flag("--share-batch", options.share_batch, "all members see the same batch");
  app.add_flag("--no-prefix", options.no_prefix, "neither share nor keep what lies below the lowest adapter");
  app.add_flag("--check", options.check, "first compare with plain operations and with one member alone");
  app.add_flag("--profile", options.profile, "print where a step's time goes instead");
  app.add_flag("--paced", options.paced, "one turn for each line on standard input");
}

}  // namespace
}  // namespace chorale::bench

int main(int argc, char** argv) {
  chorale::prepare_process_memory();
  chorale::bench::Options options;
  CLI::App app("Times optimiser steps of an ensemble on a random base.", "step_bench");
  chorale::bench::add_options(app, options);
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
