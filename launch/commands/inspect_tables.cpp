#include "launch/commands/inspect_tables.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <map>
#include <vector>

#include "core/base/printable.hpp"

namespace chorale {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kWidth = 100;

std::string plain(const ordered_json& value) {
  return value.is_string() ? printable(value.get<std::string>(), kWidth) : value.dump();
}

std::string row(std::string_view name, std::string_view value) {
  return fmt::format("{:<14} {}\n", name, value);
}

// A sentence of parts joined by "; ", broken between parts so that lines stay within the width.
std::string wrapped_row(std::string_view name, const std::string& sentence) {
  const std::size_t indent = row("", "").size() - 1;
  std::string text = row(name, "");
  text.pop_back();
  std::size_t column = indent;
  for (std::size_t from = 0; from < sentence.size();) {
    std::size_t to = sentence.find("; ", from);
    to = to == std::string::npos ? sentence.size() : to + 2;
    if (column > indent && column + (to - from) > kWidth + 1) {
      while (text.ends_with(' ')) text.pop_back();
      text += "\n" + std::string(indent, ' ');
      column = indent;
    }
    text += sentence.substr(from, to - from);
    column += to - from;
    from = to;
  }
  return text + "\n";
}

std::string byte_words(double bytes) {
  if (bytes < 1024) return fmt::format("{:.0f} bytes", bytes);
  for (const char* unit : {"KiB", "MiB", "GiB"}) {
    bytes /= 1024;
    if (bytes < 1024) return fmt::format("{:.1f} {}", bytes, unit);
  }
  return fmt::format("{:.1f} TiB", bytes / 1024);
}

// "model.layers.12.mlp" -> "model.layers.*.mlp": the layers of a model are alike and belong on one line.
std::string layer_pattern(const std::string& name) {
  std::string pattern;
  for (std::size_t i = 0; i < name.size();) {
    std::size_t end = i;
    while (end < name.size() && std::isdigit(static_cast<unsigned char>(name[end])) != 0) ++end;
    const bool whole_part = end > i && i > 0 && name[i - 1] == '.' && end < name.size() && name[end] == '.';
    if (whole_part) pattern += '*';
    if (end == i) ++end;
    if (!whole_part) pattern += name.substr(i, end - i);
    i = end;
  }
  return pattern;
}

// Equal labels on one line with their number, in the order of their first appearance.
std::string counted(const std::vector<std::string>& labels) {
  std::vector<std::string> order;
  std::map<std::string, std::size_t> counts;
  for (const std::string& label : labels) {
    if (++counts[label] == 1) order.push_back(label);
  }
  std::string text;
  for (const std::string& label : order) text += fmt::format("  {:>4} x {}\n", counts[label], label);
  return text;
}

std::string weights_table(const ordered_json& weights) {
  std::string text = row("parameters", plain(weights.at("parameters")));
  text += row("size", byte_words(weights.at("bytes").get<double>()));
  if (weights.contains("problem")) text += row("not usable", plain(weights.at("problem")));
  if (weights.contains("tokenizer")) text += wrapped_row("tokenizer", weights.at("tokenizer").get<std::string>());
  if (weights.contains("config") && weights.at("config").is_object()) {
    text += "\nconfiguration\n";
    for (const auto& [key, value] : weights.at("config").items())
      text += fmt::format("  {:<24} {}\n", key, plain(value));
  }
  std::vector<std::string> labels;
  for (const ordered_json& tensor : weights.at("tensors")) {
    labels.push_back(fmt::format("{:<52} {:<10} {}", layer_pattern(tensor.at("name").get<std::string>()),
                                 tensor.at("type").get<std::string>(), tensor.at("shape").dump()));
  }
  text += fmt::format("\n{} tensors\n{}", labels.size(), counted(labels));
  if (weights.contains("metadata") && !weights.at("metadata").empty()) {
    text += "\nmetadata\n";
    for (const auto& [key, value] : weights.at("metadata").items()) {
      text += fmt::format("  {:<40} {}\n", printable(key, 60), printable(plain(value), 54));
    }
  }
  return text;
}

std::string data_table(const ordered_json& data) {
  std::string text = row("format", plain(data.at("format"))) + row("records", plain(data.at("records")));
  for (const auto& [name, field] : data.at("fields").items()) {
    std::vector<std::string> types;
    for (const auto& [type, count] : field.at("types").items())
      types.push_back(fmt::format("{} {}", count.dump(), type));
    text += fmt::format("\n{}\n  in {} records: {}\n", printable(name, 60), field.at("present").dump(),
                        fmt::join(types, ", "));
    if (field.contains("length")) {
      const ordered_json& length = field.at("length");
      text += fmt::format("  length {} to {}, mean {:.1f}\n", length.at("min").dump(), length.at("max").dump(),
                          length.at("mean").get<double>());
    }
    if (field.contains("values")) {
      std::vector<std::string> values;
      for (const auto& [value, count] : field.at("values").items()) {
        values.push_back(fmt::format("{} ({})", printable(value, 30), count.dump()));
      }
      text += fmt::format("  values {}\n", fmt::join(values, ", "));
    } else if (field.contains("examples")) {
      for (const ordered_json& example : field.at("examples")) text += fmt::format("  e.g. {}\n", plain(example));
    }
  }
  return text;
}

std::string predictions_table(const ordered_json& predictions) {
  std::string text =
      fmt::format("\n{:<32} {:>8} {:>9} {:>8} {:>9}\n", "set", "members", "examples", "choices", "labelled");
  for (const ordered_json& set : predictions.at("sets")) {
    text += fmt::format("{:<32} {:>8} {:>9} {:>8} {:>9}\n", plain(set.at("name")), set.at("members").dump(),
                        set.at("examples").dump(), set.at("choices").dump(), set.at("labelled").dump());
  }
  return text;
}

std::string checkpoint_table(const ordered_json& checkpoint) {
  std::string text = row("step", plain(checkpoint.at("step")));
  for (const ordered_json& placement : checkpoint.at("placement")) text += row("placement", plain(placement));
  text += row("base", plain(checkpoint.at("base_fingerprint")));
  text += row("parameters", fmt::format("{} per member", checkpoint.at("parameters_per_member").dump()));
  text += row("scale", fmt::format("{} in front of B A", checkpoint.at("scale").dump()));
  text += fmt::format("\n{:>6} {:>8}  {:<9} {:>10} {:>10}\n", "member", "updates", "state", "stopped at", "best step");
  const auto step = [](const ordered_json& value) { return value.is_null() ? std::string("-") : value.dump(); };
  for (const ordered_json& member : checkpoint.at("members")) {
    text +=
        fmt::format("{:>6} {:>8}  {:<9} {:>10} {:>10}\n", member.at("member").dump(), member.at("updates").dump(),
                    member.at("state").get<std::string>(), step(member.at("stopped_at")), step(member.at("best_step")));
  }
  std::vector<std::string> labels;
  for (const ordered_json& factor : checkpoint.at("factors")) {
    labels.push_back(fmt::format("{:<52} {}", printable(layer_pattern(factor.at("name").get<std::string>())),
                                 factor.at("shape").dump()));
  }
  return text + fmt::format("\n{} factors of each member\n{}", labels.size(), counted(labels));
}

}  // namespace

std::string inspect_table(const ordered_json& description) {
  const std::string kind = description.at("kind").get<std::string>();
  std::string text = row("path", plain(description.at("path"))) + row("kind", kind);
  if (kind == "tokenizer") return text + wrapped_row("tokenizer", description.at("description").get<std::string>());
  if (kind == "data") return text + data_table(description);
  if (kind == "predictions") return text + predictions_table(description);
  if (kind == "checkpoint") return text + checkpoint_table(description);
  return text + weights_table(description);
}

}  // namespace chorale
