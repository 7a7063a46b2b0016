#include <fmt/format.h>

#include "launch/recipe/sections.hpp"

namespace chorale::recipe {
namespace {

constexpr std::int64_t kMostMembers = 4096;
const std::vector<std::string_view> kVaried = {"initialisation", "data_order"};

}  // namespace

const Section& ensemble_table() {
  static const Section table = {
      "ensemble",
      {{"members", "integer >= 1", "5",
        "how many adapters are trained side by side over the one base; memory grows with it; 1: no ensemble; more of "
        "them with --resume join a finished run"},
       {"vary", "list of initialisation, data_order", "[initialisation, data_order]",
        "what differs between members; without data_order all see the same batches; []: all are equal, unless their "
        "learning rates or dropout differ"}}};
  return table;
}

void read_ensemble(Reader reader, EnsembleConfig& ensemble) {
  reader.integer("members", ensemble.members, 1, kMostMembers);
  const std::vector<Node>* items = reader.list("vary");
  if (items == nullptr) return;
  bool varied[2] = {false, false};
  for (std::size_t i = 0; i < items->size(); ++i) {
    const std::string path = fmt::format("ensemble.vary.{}", i);
    const auto index = reader.one_of((*items)[i], path, kVaried);
    if (!index) continue;
    if (varied[*index]) reader.mistake_at((*items)[i], path, "is listed twice; keep one");
    varied[*index] = true;
  }
  ensemble.vary_initialisation = varied[0];
  ensemble.vary_data_order = varied[1];
}

void write_ensemble(Writer& writer, const EnsembleConfig& ensemble) {
  std::vector<std::string> varied;
  if (ensemble.vary_initialisation) varied.emplace_back(kVaried[0]);
  if (ensemble.vary_data_order) varied.emplace_back(kVaried[1]);
  writer.begin("ensemble");
  writer.integer("members", ensemble.members);
  writer.words("vary", varied);
  writer.end();
}

}  // namespace chorale::recipe
