#include "launch/commands/inspect.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/data/describe.hpp"
#include "core/interop/ensemble_index.hpp"
#include "core/interop/peft_read.hpp"
#include "core/report/table.hpp"
#include "core/storage/checkpoint_directory.hpp"
#include "core/storage/checkpoint_file.hpp"
#include "core/storage/format_header.hpp"
#include "core/storage/predictions_file.hpp"
#include "core/tokenizer/tokenizer.hpp"
#include "core/weights/describe.hpp"
#include "launch/commands/common.hpp"
#include "launch/commands/inspect_run.hpp"
#include "launch/commands/inspect_tables.hpp"

namespace chorale {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr std::string_view kHdf5Signature = "\x89HDF\r\n\x1a\n";

ordered_json describe_tokenizer(const std::string& path) {
  const auto tokenizer = load_tokenizer(path);
  const auto id_or_null = [](std::optional<TokenId> id) { return id ? ordered_json(*id) : ordered_json(nullptr); };
  return {{"kind", "tokenizer"},
          {"path", path},
          {"description", tokenizer->describe()},
          {"vocabulary", tokenizer->vocabulary()},
          {"bos", id_or_null(tokenizer->bos())},
          {"eos", id_or_null(tokenizer->eos())}};
}

ordered_json describe_model(const std::string& path, bool with_tokenizer) {
  ordered_json description = describe_weights(path);
  if (!with_tokenizer) return description;
  try {
    description["tokenizer"] = load_tokenizer(path)->describe();
  } catch (const InputError& error) {
    // The weights are worth showing even when the tokenizer beside them is of no use.
    description["tokenizer"] = fmt::format("not usable: {}", error.what());
  }
  return description;
}

ordered_json describe_predictions(const std::string& path) {
  ordered_json description = {{"kind", "predictions"}, {"path", path}, {"sets", ordered_json::array()}};
  for (const Predictions& set : read_predictions_file(path)) {
    const auto labelled = std::count_if(set.labels.begin(), set.labels.end(), [](auto label) { return label >= 0; });
    description["sets"].push_back({{"name", set.name},
                                   {"members", set.members},
                                   {"examples", set.examples},
                                   {"choices", set.choices},
                                   {"labelled", labelled}});
  }
  return description;
}

// The groups' files of one checkpoint, or one of them alone.
ordered_json describe_checkpoint(const std::string& path, const std::vector<std::string>& files) {
  ordered_json description = {{"kind", "checkpoint"}, {"path", path}};
  ordered_json members = ordered_json::array();
  for (const std::string& file : files) {
    const CheckpointContent content = read_checkpoint_file(file);
    const CheckpointHeader& header = content.header;
    description["step"] = header.step;
    description["base_fingerprint"] = header.base_fingerprint;
    // The same in every group's file. Text that is no JSON is shown as it is.
    description["placement"] = ordered_json::parse(header.placement, nullptr, /*allow_exceptions=*/false);
    if (description["placement"].is_discarded()) description["placement"] = header.placement;
    description["parameters_per_member"] = header.parameters();
    description["scale"] = header.scale;
    description["factors"] = ordered_json::array();
    for (const CheckpointFactor& factor : header.factors) {
      description["factors"].push_back(
          {{"name", fmt::format("{}.{}", factor.module, factor.factor)}, {"shape", {factor.rows, factor.columns}}});
    }
    for (const StoredMember& member : content.members) {
      const MemberProgress& progress = member.progress;
      const auto step_or_null = [](std::int64_t step) { return step < 0 ? ordered_json(nullptr) : ordered_json(step); };
      members.push_back({{"member", member.member},
                         {"updates", progress.updates},
                         {"state", progress.diverged   ? "diverged"
                                   : progress.training ? "training"
                                                       : "stopped"},
                         {"stopped_at", step_or_null(progress.stopped_at)},
                         {"best_step", step_or_null(progress.best_step)}});
    }
    description["recipe"] = header.recipe;
  }
  description["members"] = std::move(members);
  return description;
}

ordered_json describe_hdf5(const std::string& path) {
  return format_of_file(path) == kCheckpointFormat ? describe_checkpoint(path, {path}) : describe_predictions(path);
}

ordered_json describe_records(const std::string& path) {
  ordered_json description = {{"kind", "data"}};
  description.update(ordered_json(describe_data(path)));
  return description;
}

[[noreturn]] void refuse(const std::string& path, std::string_view why) {
  throw InputError(
      fmt::format("{}: {}. Give what inspect knows: GGUF and safetensors files, model directories, tokenizer.json, "
                  ".jsonl/.csv/.tsv data, runs, checkpoints, predictions (.h5), adapters and exported ensembles.",
                  printable(path, 300), why));
}

std::string first_bytes(const std::string& path) {
  std::string bytes(kHdf5Signature.size(), '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.is_open()) refuse(path, "the file cannot be read");
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  return bytes;
}

ordered_json describe_file(const std::string& path) {
  const std::string start = first_bytes(path);
  const fs::path name(path);
  const std::string extension = name.extension().string();
  if (start.empty()) refuse(path, "the file is empty");
  if (start.starts_with("GGUF") || extension == ".gguf") return describe_model(path, true);
  if (start == kHdf5Signature || extension == ".h5") return describe_hdf5(path);
  if (extension == ".safetensors") return describe_model(path, false);
  if (name.filename() == "tokenizer.json") return describe_tokenizer(path);
  for (const std::string_view known : {".jsonl", ".ndjson", ".json", ".csv", ".tsv"}) {
    if (extension == known) return describe_records(path);
  }
  refuse(path, "a file of no kind this program reads");
}

ordered_json describe_path(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) refuse(path, "there is no such file or directory");
  if (fs::is_regular_file(status)) return describe_file(path);
  if (!fs::is_directory(status)) refuse(path, "neither a regular file nor a directory");
  const fs::path directory(path);
  if (fs::exists(directory / "recipe.yaml", error)) return describe_run(path);
  if (fs::exists(directory / "config.json", error)) return describe_model(path, true);
  if (fs::exists(directory / kPeftConfigName, error)) return describe_adapter(path);
  if (has_ensemble_index(path)) return describe_ensemble(path);
  if (fs::exists(directory / "tokenizer.json", error)) return describe_tokenizer(path);
  if (fs::exists(directory / "manifest.json", error)) return describe_checkpoint(path, verify_checkpoint(path).files);
  if (fs::exists(directory / "predictions.h5", error)) return describe_predictions(directory / "predictions.h5");
  refuse(path,
         "the directory has none of recipe.yaml, config.json, adapter_config.json, ensemble.json, tokenizer.json, "
         "manifest.json and predictions.h5");
}

}  // namespace

void add_inspect_command(CLI::App& app) {
  struct InspectOptions {
    std::string path;
    std::string format = "table";
  };
  CLI::App* command =
      app.add_subcommand("inspect", "Show what a model, data, run, adapter, checkpoint or predictions file holds");
  const auto options = std::make_shared<InspectOptions>();
  command->add_option("PATH", options->path, "A file or a directory")->required();
  command->add_option("--format", options->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  command->footer("Example:\n  chorale inspect data/wordnet/train.jsonl\n");
  command->callback([options] {
    const ordered_json description = describe_path(options->path);
    write_output(options->format == "json"
                     ? description.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n"
                     : inspect_table(description, columns_of(STDOUT_FILENO)));
  });
}

}  // namespace chorale
