#include "launch/commands/export_index.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <utility>

#include "core/interop/ensemble_index.hpp"

namespace chorale {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// What `path` leads to below `value`; null when there is no such thing.
json at_path(const json& value, const std::string& path) {
  const json::json_pointer pointer(path);
  return value.contains(pointer) ? value[pointer] : json();
}

ordered_json adapter_of(const AdapterConfig& adapter) {
  ordered_json result;
  result["kind"] = adapter.kind;
  result["rank"] = adapter.rank;
  result["alpha"] = adapter.alpha;
  result["scaling"] = adapter.scaling == AdapterScaling::standard ? "standard" : "rank_stabilised";
  result["dropout"] = adapter.dropout;
  result["targets"] = adapter.targets;
  result["layers"] = adapter.layers.empty() ? ordered_json("all") : ordered_json(adapter.layers);
  return result;
}

ordered_json metrics_of(const json& datasets, const std::vector<ExportedMember>& members, bool complete) {
  ordered_json result = ordered_json::object();
  for (const char* name : {"test", "validation"}) {
    if (!datasets.contains(name)) continue;
    const json& dataset = datasets[name];
    ordered_json& entry = result[name];
    for (const char* row : {"ensemble", "ensemble_temperature_scaled"}) {
      entry[row] = complete ? dataset.value(row, json()) : json();
    }
    entry["members"] = ordered_json::array();
    for (const ExportedMember& member : members) {
      entry["members"].push_back(ordered_json(at_path(dataset, "/members/each/" + std::to_string(member.member))));
    }
  }
  return result.empty() ? ordered_json() : result;
}

}  // namespace

std::string export_index(const RunReader& run, const BaseFiles& base, const ExportFacts& facts,
                         const std::vector<ExportedMember>& members) {
  const Recipe& recipe = run.recipe();
  const json datasets = run.metrics() ? run.metrics()->value("datasets", json::object()) : json::object();
  const bool complete = std::cmp_equal(members.size(), recipe.ensemble.members);
  ordered_json index;
  index["format"] = kEnsembleFormat;
  index["format_version"] = kEnsembleVersion;
  index["created_by"] = "chorale " CHORALE_VERSION;
  index["kind"] = facts.kind;
  if (!facts.dtype.empty()) index["dtype"] = facts.dtype;
  index["name"] = recipe.name;
  index["step"] = facts.step;
  index["base"] = {{"path", base.path()}, {"kind", base.kind()}, {"fingerprint", facts.fingerprint}};
  index["adapter"] = adapter_of(recipe.adapter);
  index["pooling"] = "arithmetic";
  index["temperature"] = complete ? fitted_temperature(datasets, "/ensemble_temperature_scaled/temperature") : json();
  index["meaning"] = {
      {"pooling", "the ensemble's probabilities are the mean of its members' probabilities"},
      {"temperature",
       "log-probabilities are divided by it and normalised again: the ensemble's after pooling, a member's by itself"},
      {"fingerprint", "SHA-256 over the bytes of the base's tensors, in order of their names in its files"},
      {"files", "SHA-256 of each file"}};
  index["members"] = ordered_json::array();
  for (const ExportedMember& member : members) {
    const std::string number = std::to_string(member.member);
    index["members"].push_back(
        {{"member", member.member},
         {"directory", member.directory},
         {"temperature", fitted_temperature(datasets, "/single_temperature_scaled/temperatures/" + number)},
         {"files", member.files}});
  }
  index["metrics"] = metrics_of(datasets, members, complete);
  return index.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace chorale
