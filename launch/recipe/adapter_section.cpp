#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "launch/recipe/scalars.hpp"
#include "launch/recipe/sections.hpp"

namespace chorale::recipe {
namespace {

constexpr Names<std::string_view, 1> kKinds = {{{"lora", "lora"}}};
constexpr Names<AdapterScaling, 2> kScalings = {
    {{"standard", AdapterScaling::standard}, {"rank_stabilised", AdapterScaling::rank_stabilised}}};
constexpr std::int64_t kHighestRank = 65536;
constexpr std::int64_t kHighestLayer = 9999;

void read_targets(Reader& reader, AdapterConfig& adapter) {
  const Node* node = reader.find("targets");
  if (node == nullptr) return;
  const std::vector<std::string_view> known(kAdapterTargets.begin(), kAdapterTargets.end());
  if (node->kind == Node::Kind::scalar) {
    const auto all = reader.one_of(*node, "adapter.targets", {"all_linear", "a list such as [q_proj, v_proj]"});
    if (all == std::size_t{0}) adapter.targets = kAdapterTargets;
    return;
  }
  const std::vector<Node>* items = reader.list("targets");
  if (items == nullptr) return;
  if (items->empty()) reader.mistake("targets", "is an empty list; name at least one, or all_linear");
  std::vector<bool> chosen(known.size(), false);
  for (std::size_t i = 0; i < items->size(); ++i) {
    const std::string path = fmt::format("adapter.targets.{}", i);
    const auto index = reader.one_of((*items)[i], path, known);
    if (!index) continue;
    if (chosen[*index])
      reader.mistake_at((*items)[i], path, fmt::format("{} is listed twice; keep one", known[*index]));
    chosen[*index] = true;
  }
  adapter.targets.clear();
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (chosen[i]) adapter.targets.emplace_back(known[i]);
  }
}

// Adds layer `5` or the layers of the range `20-29` that `node` holds.
void add_layers(Reader& reader, const Node& node, const std::string& path, std::set<std::int64_t>& layers) {
  if (node.kind == Node::Kind::broken) return;
  const std::size_t dash = node.kind == Node::Kind::scalar ? node.text.find('-', 1) : std::string::npos;
  std::optional<std::int64_t> first;
  std::optional<std::int64_t> last;
  if (node.kind == Node::Kind::scalar) {
    first = parse_integer(node.text.substr(0, dash));
    last = dash == std::string::npos ? first : parse_integer(node.text.substr(dash + 1));
  }
  if (!first || !last || *first < 0 || *last > kHighestLayer) {
    reader.mistake_at(node, path,
                      fmt::format("must be all, a layer, a range such as 20-29, or a list of them; layers count from 0 "
                                  "and end at {}",
                                  kHighestLayer));
    return;
  }
  if (*first > *last) {
    reader.mistake_at(node, path, fmt::format("the range runs backwards; write {}-{}", *last, *first));
    return;
  }
  for (std::int64_t layer = *first; layer <= *last; ++layer) {
    if (layers.insert(layer).second) continue;
    reader.mistake_at(node, path, fmt::format("layer {} is listed twice; keep one", layer));
    return;
  }
}

void read_layers(Reader& reader, AdapterConfig& adapter) {
  const Node* node = reader.find("layers");
  if (node == nullptr || (node->kind == Node::Kind::scalar && node->text == "all")) return;
  std::set<std::int64_t> layers;
  if (node->kind == Node::Kind::list) {
    if (node->children.empty()) reader.mistake("layers", "is an empty list; name layers, or write all");
    for (std::size_t i = 0; i < node->children.size(); ++i) {
      add_layers(reader, node->children[i], fmt::format("adapter.layers.{}", i), layers);
    }
  } else {
    add_layers(reader, *node, "adapter.layers", layers);
  }
  adapter.layers.assign(layers.begin(), layers.end());
}

void write_layers(Writer& writer, const std::vector<std::int64_t>& layers) {
  if (layers.empty()) {
    writer.word("layers", "all");
    return;
  }
  // Runs of neighbours as ranges, so that a recipe stays readable.
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < layers.size();) {
    std::size_t last = i;
    while (last + 1 < layers.size() && layers[last + 1] == layers[last] + 1) ++last;
    parts.push_back(last == i ? fmt::format("{}", layers[i]) : fmt::format("{}-{}", layers[i], layers[last]));
    i = last + 1;
  }
  if (parts.size() == 1) {
    writer.word("layers", parts.front());
  } else {
    writer.words("layers", parts);
  }
}

}  // namespace

const Section& adapter_table() {
  static const Section table = {
      "adapter",
      {{"kind", "lora", "lora", "the kind of adapter: low-rank, B*A added to a frozen matrix, B zero at the start"},
       {"rank", "integer >= 1", "8", "rank r of the product B*A: its parameters and memory grow with it"},
       {"alpha", "number > 0", "16.0", "numerator of the factor in front of B*A"},
       {"scaling", "standard, rank_stabilised", "standard", "the factor: alpha/r, or alpha/sqrt(r)"},
       {"dropout", "number in [0, 1)", "0.0", "share of the adapter's inputs set to zero in training; 0: none"},
       {"targets", "list, or all_linear", "[q_proj, v_proj]",
        "linear layers with an adapter; all_linear: all of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, "
        "down_proj"},
       {"layers", "all, range or list", "all",
        "decoder layers with adapters, counted from 0: 20-29, or [0, 5, 20-29]; layers below the lowest are computed "
        "once"}}};
  return table;
}

void read_adapter(Reader reader, AdapterConfig& adapter) {
  std::string_view kind = "lora";
  reader.choice("kind", kind, kKinds);
  adapter.kind = kind;
  reader.integer("rank", adapter.rank, 1, kHighestRank);
  reader.number("alpha", adapter.alpha, kPositive);
  reader.choice("scaling", adapter.scaling, kScalings);
  reader.number("dropout", adapter.dropout, kShareBelowOne);
  read_targets(reader, adapter);
  read_layers(reader, adapter);
}

void write_adapter(Writer& writer, const AdapterConfig& adapter) {
  writer.begin("adapter");
  writer.word("kind", adapter.kind);
  writer.integer("rank", adapter.rank);
  writer.number("alpha", adapter.alpha);
  writer.word("scaling", name_of(kScalings, adapter.scaling));
  writer.number("dropout", adapter.dropout);
  writer.words("targets", adapter.targets);
  write_layers(writer, adapter.layers);
  writer.end();
}

}  // namespace chorale::recipe
