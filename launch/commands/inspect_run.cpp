#include "launch/commands/inspect_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/base/strict_json.hpp"
#include "core/base/whole_file.hpp"
#include "core/interop/ensemble_index.hpp"
#include "core/interop/peft_config.hpp"
#include "core/interop/peft_read.hpp"
#include "core/report/table.hpp"
#include "core/storage/checkpoint_directory.hpp"
#include "core/weights/safetensors.hpp"
#include "launch/commands/inspect_tables.hpp"
#include "launch/results/run_reader.hpp"
#include "launch/training/growth_files.hpp"

namespace chorale {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr std::size_t kLabel = 15;

std::string row(std::string_view name, const std::string& value, std::size_t columns) {
  return beside(name, kLabel, value, columns);
}

// Finished and unfinished checkpoints by their steps; whether each is whole is told by its manifest, without hashing.
ordered_json checkpoints_of(const std::string& directory) {
  ordered_json list = ordered_json::array();
  std::set<std::string> names;
  std::error_code failure;
  for (fs::directory_iterator next(directory, failure); !failure && next != fs::end(next); next.increment(failure)) {
    const std::string name = next->path().filename().string();
    if (step_of_checkpoint(name)) names.insert(name);
  }
  for (const std::string& name : names) {
    std::string problem;
    try {
      (void)verify_checkpoint((fs::path(directory) / name).string(), /*hashes=*/false);
    } catch (const InputError& error) {
      problem = error.what();
    }
    list.push_back({{"name", name}, {"step", *step_of_checkpoint(name)}, {"whole", problem.empty()}});
  }
  return list;
}

ordered_json sets_of(const nlohmann::json& metrics) {
  ordered_json sets = ordered_json::array();
  const auto number = [](const nlohmann::json& dataset, const char* place) {
    const nlohmann::json::json_pointer pointer(place);
    return dataset.contains(pointer) ? ordered_json(dataset[pointer]) : ordered_json();
  };
  for (const auto& [name, dataset] : metrics.at("datasets").items()) {
    sets.push_back({{"name", name},
                    {"examples", number(dataset, "/examples")},
                    {"labelled", number(dataset, "/labelled")},
                    {"accuracy", number(dataset, "/ensemble/accuracy")},
                    {"nll", number(dataset, "/ensemble/nll")},
                    {"ece", number(dataset, "/ensemble/ece")}});
  }
  return sets;
}

std::string shown(const ordered_json& value) {
  return value.is_number_float() ? fmt::format("{:.3f}", value.get<double>())
         : value.is_null()       ? std::string("-")
                                 : value.dump();
}

}  // namespace

ordered_json describe_run(const std::string& path) {
  const RunReader run(path);
  const Recipe& recipe = run.recipe();
  const ordered_json checkpoints = checkpoints_of(run.file("checkpoints"));
  std::string state = "begun, no checkpoint yet";
  if (run.metrics()) {
    state = fs::exists(run.file(kMergedName)) ? "finished, merged from several runs" : "finished";
    if (const std::string growth = growth_note(path); !growth.empty()) state += "; " + growth;
  } else if (!checkpoints.empty()) {
    state =
        fmt::format("not finished, goes on from step {} by --resume", checkpoints.back()["step"].get<std::int64_t>());
  }
  ordered_json description = {{"kind", "run"},
                              {"path", path},
                              {"name", recipe.name},
                              {"state", state},
                              {"base", recipe.base.path},
                              {"members", recipe.ensemble.members},
                              {"seed", recipe.seed},
                              {"adapter",
                               {{"kind", recipe.adapter.kind},
                                {"rank", recipe.adapter.rank},
                                {"alpha", recipe.adapter.alpha},
                                {"targets", recipe.adapter.targets}}},
                              {"checkpoints", checkpoints},
                              {"sets", ordered_json::array()}};
  if (run.metrics()) {
    description["created_by"] = run.metrics()->value("created_by", "");
    description["steps"] = run.metrics()->value("/training/steps"_json_pointer, nlohmann::json());
    description["sets"] = sets_of(*run.metrics());
  }
  return description;
}

std::string run_table(const ordered_json& run, std::size_t columns) {
  const ordered_json& adapter = run.at("adapter");
  std::string targets;
  for (const ordered_json& target : adapter.at("targets"))
    targets += (targets.empty() ? "" : ", ") + target.get<std::string>();
  std::string text = row("name", run.at("name").get<std::string>(), columns);
  text += row("state", run.at("state").get<std::string>(), columns);
  text += row("base", printable(run.at("base").get<std::string>()), columns);
  text += row("ensemble", fmt::format("{} members, seed {}", run.at("members").dump(), run.at("seed").dump()), columns);
  text += row("adapters",
              fmt::format("{} of rank {}, alpha {}, at {}", adapter.at("kind").get<std::string>(),
                          adapter.at("rank").dump(), adapter.at("alpha").dump(), targets),
              columns);
  std::string checkpoints;
  for (const ordered_json& checkpoint : run.at("checkpoints")) {
    checkpoints += (checkpoints.empty() ? "" : ", ") + checkpoint.at("name").get<std::string>() +
                   (checkpoint.at("whole").get<bool>() ? "" : " (not whole)");
  }
  text += row("checkpoints", checkpoints.empty() ? "none" : checkpoints, columns);
  if (run.at("sets").empty()) return text;
  Table table;
  table.add_row({"set", "examples", "labelled", "accuracy", "NLL", "ECE"});
  for (const ordered_json& set : run.at("sets")) {
    table.add_row({shortened(set.at("name").get<std::string>(), 24), shown(set.at("examples")),
                   shown(set.at("labelled")), shown(set.at("accuracy")), shown(set.at("nll")), shown(set.at("ece"))});
  }
  return text + "\n" + table.text() + "Of the ensemble; `chorale report` shows more.\n";
}

ordered_json describe_adapter(const std::string& path) {
  const fs::path directory(path);
  const PeftConfig config((directory / kPeftConfigName).string());
  const SafetensorsFile weights((directory / kPeftWeightsName).string());
  ordered_json tensors = ordered_json::array();
  for (const TensorView& tensor : weights.tensors()) {
    tensors.push_back({{"name", tensor.name}, {"shape", tensor.shape}, {"type", storage_type_name(tensor.type)}});
  }
  return {{"kind", "adapter"},
          {"path", path},
          {"rank", config.rank()},
          {"alpha", config.alpha()},
          {"scaling", config.scaling() == AdapterScaling::standard ? "standard" : "rank_stabilised"},
          {"scale", config.common_scale()},
          {"tensors", tensors}};
}

std::string adapter_table(const ordered_json& adapter, std::size_t columns) {
  std::int64_t parameters = 0;
  std::vector<std::vector<std::string>> tensors;
  for (const ordered_json& tensor : adapter.at("tensors")) {
    std::int64_t elements = 1;
    for (const ordered_json& size : tensor.at("shape")) elements *= size.get<std::int64_t>();
    parameters += elements;
    const std::string name = tensor.at("name").get<std::string>();
    constexpr std::string_view kPrefix = "base_model.model.";
    tensors.push_back({printable(layer_pattern(name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name)),
                       tensor.at("type").get<std::string>(), tensor.at("shape").dump()});
  }
  std::string text =
      row("adapter",
          fmt::format("LoRA of rank {}, alpha {}, scaling {}: {} in front of B A", adapter.at("rank").dump(),
                      adapter.at("alpha").dump(), adapter.at("scaling").get<std::string>(), adapter.at("scale").dump()),
          columns);
  text += row("parameters", std::to_string(parameters), columns);
  return text + fmt::format("\n{} tensors\n{}", tensors.size(), counted(tensors));
}

ordered_json describe_ensemble(const std::string& path) {
  const EnsembleIndex index = read_ensemble_index(path);
  const std::string file = (fs::path(path) / kEnsembleIndexName).string();
  const nlohmann::json content = parse_strict_json(read_whole_file(file).value_or(""), file);
  ordered_json description = {{"kind", "ensemble"},
                              {"path", path},
                              {"format", index.kind},
                              {"base_fingerprint", index.base_fingerprint},
                              {"members", index.directories}};
  for (const char* key : {"name", "pooling", "temperature", "created_by"}) {
    if (content.contains(key)) description[key] = content[key];
  }
  return description;
}

std::string ensemble_table(const ordered_json& ensemble, std::size_t columns) {
  std::string text = row("format", ensemble.at("format").get<std::string>(), columns);
  text += row("base", ensemble.at("base_fingerprint").get<std::string>(), columns);
  for (const char* key : {"name", "pooling", "temperature", "created_by"}) {
    if (!ensemble.contains(key)) continue;
    const ordered_json& value = ensemble.at(key);
    text += row(key, value.is_string() ? value.get<std::string>() : value.dump(), columns);
  }
  text += fmt::format("\n{} members, every file as it was written\n", ensemble.at("members").size());
  for (const ordered_json& member : ensemble.at("members")) text += "  " + printable(member.get<std::string>()) + "\n";
  return text;
}

}  // namespace chorale
