#include "launch/commands/export.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "core/adapters/adapter_bank.hpp"
#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/interop/ensemble_index.hpp"
#include "core/interop/merged_write.hpp"
#include "core/interop/peft_write.hpp"
#include "core/model/device.hpp"
#include "core/training/checkpoint.hpp"
#include "core/weights/base_files.hpp"
#include "launch/commands/common.hpp"
#include "launch/commands/export_index.hpp"
#include "launch/progress/progress.hpp"
#include "launch/results/run_reader.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string run;
  std::string format = "peft";
  std::string output;
  std::vector<std::uint32_t> members;
  std::string base;
  std::string dtype = "float32";
  std::uint64_t shard_bytes = MergedOptions().shard_bytes;
};

bool merges(const Options& options) {
  return options.format == "merged";
}

// All members when none is named; ascending, as a bank holds them.
std::vector<std::uint32_t> chosen_members(const Options& options, std::int64_t count) {
  std::vector<std::uint32_t> members = options.members;
  if (members.empty()) {
    members.resize(static_cast<std::size_t>(count));
    std::iota(members.begin(), members.end(), 0U);
  }
  std::sort(members.begin(), members.end());
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (std::cmp_greater_equal(members[i], count)) {
      throw UsageError(fmt::format("--members: there is no member {}; the run has members 0 to {}. Name some of those.",
                                   members[i], count - 1));
    }
    if (i > 0 && members[i] == members[i - 1]) {
      throw UsageError(fmt::format("--members: member {} is named twice. Name it once.", members[i]));
    }
  }
  return members;
}

void expect_room(const Options& options) {
  std::error_code failure;
  const fs::file_status status = fs::status(options.output, failure);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status)) {
    throw UsageError(fmt::format("--output: {} is no directory. Give a new one.", printable(options.output, 200)));
  }
  if (!fs::is_empty(options.output, failure)) {
    throw UsageError(
        fmt::format("--output: {} is not empty, and nothing in it is overwritten. Give a new directory, "
                    "or empty this one.",
                    printable(options.output, 200)));
  }
}

std::unique_ptr<BaseFiles> open_base_of(const RunReader& run, const Options& options) {
  const std::string path = options.base.empty() ? run.recipe().base.path : options.base;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    throw UsageError(
        fmt::format("base.path: there is no model '{}' (paths count from the working directory). Give its place by "
                    "--base.",
                    printable(path, 200)));
  }
  return open_base(path);
}

// Before anything is written: whole models fill disks.
void expect_space(const Options& options, const ModelConfig& model, StorageType type, std::size_t members) {
  fs::path place = fs::absolute(options.output);
  while (!fs::exists(place) && place.has_relative_path()) place = place.parent_path();
  std::error_code failure;
  const fs::space_info space = fs::space(place, failure);
  const std::uint64_t needed = merged_bytes(model, type) * members;
  if (failure || needed <= space.available) return;
  throw StorageError(fmt::format(
      "{}: {} merged models take {:.1f} GB, and {:.1f} GB are free. Free some space, choose another "
      "--output, fewer --members or --dtype bfloat16.",
      options.output, members, static_cast<double>(needed) / 1e9, static_cast<double>(space.available) / 1e9));
}

StorageType type_of(const std::string& dtype) {
  return dtype == "float32" ? StorageType::float32 : dtype == "float16" ? StorageType::float16 : StorageType::bfloat16;
}

void warn_of_rank(const AdapterConfig& adapter) {
  const std::int64_t option = vllm_rank_option(adapter.rank);
  if (option == 0) {
    spdlog::warn("rank {} is beyond what vLLM serves (512); merge the members to serve them there", adapter.rank);
  } else if (option > 16) {
    spdlog::warn("vLLM refuses adapters of rank {} unless it is started with --max-lora-rank {}", adapter.rank, option);
  }
}

void warn_of_state(const RunReader& run, const FoundCheckpoint& checkpoint, const std::vector<std::uint32_t>& members) {
  if (!run.metrics()) {
    spdlog::warn("{} is not finished: these are its adapters after step {}, without metrics and temperatures",
                 run.directory(), checkpoint.step);
    return;
  }
  for (const std::uint32_t member : members) {
    const nlohmann::json::json_pointer diverged(fmt::format("/training/members/{}/diverged", member));
    if (run.metrics()->contains(diverged) && (*run.metrics())[diverged] == true) {
      spdlog::warn("member {} diverged in training: what is exported is its last finite state", member);
    }
  }
}

void export_run(const Options& options) {
  start_threads(0);
  const RunReader run(options.run);
  const Recipe& recipe = run.recipe();
  const std::vector<std::uint32_t> members = chosen_members(options, recipe.ensemble.members);
  expect_room(options);
  const FoundCheckpoint checkpoint = run.checkpoint();
  const auto base = open_base_of(run, options);
  MergedOptions merged{type_of(options.dtype), options.shard_bytes};
  if (merges(options)) expect_space(options, base->config(), merged.type, members.size());

  const ExportFacts facts{options.format, merges(options) ? options.dtype : "", checkpoint.step, base->fingerprint()};
  BankOptions bank_options;
  bank_options.members = members;
  AdapterBank bank(base->config(), recipe.adapter, bank_options);
  load_adapters(checkpoint.files, facts.fingerprint, bank);
  warn_of_state(run, checkpoint, members);
  if (!merges(options)) warn_of_rank(recipe.adapter);

  make_directories(options.output);
  Progress progress(progress_mode(common_options().shows_progress()));
  progress.start("exporting", static_cast<std::int64_t>(members.size()), "member");
  std::vector<ExportedMember> exported;
  for (std::size_t m = 0; m < members.size(); ++m) {
    ExportedMember member{members[m], fmt::format("member_{:03}", members[m]), {}};
    const std::string directory = (fs::path(options.output) / member.directory).string();
    const auto position = static_cast<std::int64_t>(m);
    if (merges(options)) {
      member.files = write_merged_model(directory, *base, bank, position, merged);
    } else {
      member.files = write_peft_adapter(directory, base->config(), bank, position,
                                        {base->path(), fmt::format("{}, member {}", recipe.name, members[m])});
    }
    exported.push_back(std::move(member));
    progress.update(position + 1);
  }
  // Last: an export without its index is not complete.
  write_file_atomically((fs::path(options.output) / kEnsembleIndexName).string(),
                        export_index(run, *base, facts, exported));
  progress.finish();
  for (const ExportedMember& member : exported) {
    write_output((fs::path(options.output) / member.directory).string() + "\n");
  }
}

}  // namespace

void add_export_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("export", "The members of a run for PEFT, transformers, vLLM and what else reads their files");
  command->add_option("RUN", options->run, "A run directory, as `chorale train` writes it")->required();
  command->add_option("--format", options->format, "peft: adapters; merged: whole models with the adapters added")
      ->check(CLI::IsMember({"peft", "merged"}))
      ->capture_default_str();
  command->add_option("--output", options->output, "A new directory: one directory per member, and ensemble.json")
      ->required();
  command->add_option("--members", options->members, "Only these, such as 0,2 (all)")->delimiter(',');
  command->add_option("--base", options->base, "Where the base model is now, if not at the recipe's base.path");
  command->add_option("--dtype", options->dtype, "Of merged weights: float32, bfloat16 or float16")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}))
      ->capture_default_str();
  command->add_option("--shard-size", options->shard_bytes, "Largest file of merged weights, such as 2GB (5GB)")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true));
  command->footer(
      "Prints the members' directories. Each loads by itself; ensemble.json says how to pool them.\n\n"
      "Examples:\n"
      "  chorale export runs/quickstart --format peft --output adapters\n"
      "  chorale export runs/quickstart --format merged --members 0,2 \\\n"
      "    --dtype bfloat16 --output models\n");
  command->callback([options] { export_run(*options); });
}

}  // namespace chorale
