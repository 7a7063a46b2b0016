#include "launch/commands/inspect_tables.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <map>
#include <vector>

#include "core/base/printable.hpp"
#include "core/report/table.hpp"
#include "launch/commands/inspect_run.hpp"

namespace chorale {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kLabel = 15;     // columns of what stands before a value
constexpr std::size_t kLongest = 500;  // bytes of a value: it is cut to the terminal's width, or wrapped

std::string plain(const ordered_json& value) {
  return value.is_string() ? printable(value.get<std::string>(), kLongest) : value.dump();
}

std::string row(std::string_view name, std::string_view value) {
  return fmt::format("{:<{}}{}\n", name, kLabel, value);
}

// "  name   value" with the value cut to what the width leaves; --format json has all of it.
std::string setting(const std::string& name, std::size_t name_columns, const std::string& value, std::size_t columns) {
  const std::string start = fmt::format("  {:<{}} ", name, name_columns);
  const std::size_t used = display_width(start);
  return start + shortened(value, columns > used + kLabel ? columns - used : kLabel) + "\n";
}

std::string byte_words(double bytes) {
  if (bytes < 1024) return fmt::format("{:.0f} bytes", bytes);
  for (const char* unit : {"KiB", "MiB", "GiB"}) {
    bytes /= 1024;
    if (bytes < 1024) return fmt::format("{:.1f} {}", bytes, unit);
  }
  return fmt::format("{:.1f} TiB", bytes / 1024);
}

std::string weights_table(const ordered_json& weights, std::size_t columns) {
  std::string text = row("parameters", plain(weights.at("parameters")));
  text += row("size", byte_words(weights.at("bytes").get<double>()));
  if (weights.contains("problem")) text += beside("not usable", kLabel, plain(weights.at("problem")), columns);
  if (weights.contains("tokenizer")) {
    text += beside("tokenizer", kLabel, weights.at("tokenizer").get<std::string>(), columns);
  }
  if (weights.contains("config") && weights.at("config").is_object()) {
    text += "\nconfiguration\n";
    for (const auto& [key, value] : weights.at("config").items()) text += setting(key, 24, plain(value), columns);
  }
  std::vector<std::vector<std::string>> tensors;
  for (const ordered_json& tensor : weights.at("tensors")) {
    tensors.push_back({layer_pattern(tensor.at("name").get<std::string>()), tensor.at("type").get<std::string>(),
                       tensor.at("shape").dump()});
  }
  text += fmt::format("\n{} tensors\n{}", tensors.size(), counted(tensors));
  if (weights.contains("metadata") && !weights.at("metadata").empty()) {
    text += "\nmetadata\n";
    for (const auto& [key, value] : weights.at("metadata").items()) {
      text += setting(printable(key, 60), 36, printable(plain(value), kLongest), columns);
    }
  }
  return text;
}

std::string data_table(const ordered_json& data, std::size_t columns) {
  std::string text = row("format", plain(data.at("format"))) + row("records", plain(data.at("records")));
  for (const auto& [name, field] : data.at("fields").items()) {
    std::vector<std::string> types;
    for (const auto& [type, count] : field.at("types").items())
      types.push_back(fmt::format("{} {}", count.dump(), type));
    text += fmt::format("\n{}\n", printable(name, 60));
    text +=
        wrapped(fmt::format("in {} records: {}", field.at("present").dump(), fmt::join(types, ", ")), columns - 2, 2)
            .insert(0, "  ");
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
      text += beside("  values", 9, fmt::format("{}", fmt::join(values, ", ")), columns);
    } else if (field.contains("examples")) {
      for (const ordered_json& example : field.at("examples")) text += setting("e.g.", 4, plain(example), columns);
    }
  }
  return text;
}

std::string predictions_table(const ordered_json& predictions, std::size_t columns) {
  Table table;
  table.add_row({"set", "members", "examples", "choices", "labelled"});
  for (const ordered_json& set : predictions.at("sets")) {
    table.add_row({shortened(plain(set.at("name")), columns - 45), set.at("members").dump(), set.at("examples").dump(),
                   set.at("choices").dump(), set.at("labelled").dump()});
  }
  return "\n" + table.text();
}

std::string checkpoint_table(const ordered_json& checkpoint, std::size_t columns) {
  std::string text = row("step", plain(checkpoint.at("step")));
  for (const ordered_json& placement : checkpoint.at("placement")) {
    text += beside("placement", kLabel, plain(placement), columns);
  }
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
  std::vector<std::vector<std::string>> factors;
  for (const ordered_json& factor : checkpoint.at("factors")) {
    factors.push_back({printable(layer_pattern(factor.at("name").get<std::string>())), factor.at("shape").dump()});
  }
  return text + fmt::format("\n{} factors of each member\n{}", factors.size(), counted(factors));
}

}  // namespace

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

std::string counted(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::vector<std::string>> order;
  std::map<std::vector<std::string>, std::size_t> counts;
  for (const std::vector<std::string>& row : rows) {
    if (++counts[row] == 1) order.push_back(row);
  }
  Table table;
  for (std::vector<std::string>& row : order) {
    const std::size_t count = counts[row];
    row[0] = fmt::format("  {:>4} x {}", count, row[0]);
    table.add_row(std::move(row));
  }
  return table.text();
}

std::string inspect_table(const ordered_json& description, std::size_t columns) {
  const std::string kind = description.at("kind").get<std::string>();
  std::string text = row("path", plain(description.at("path"))) + row("kind", kind);
  if (kind == "tokenizer") {
    return text + beside("tokenizer", kLabel, description.at("description").get<std::string>(), columns);
  }
  if (kind == "data") return text + data_table(description, columns);
  if (kind == "predictions") return text + predictions_table(description, columns);
  if (kind == "checkpoint") return text + checkpoint_table(description, columns);
  if (kind == "run") return text + run_table(description, columns);
  if (kind == "adapter") return text + adapter_table(description, columns);
  if (kind == "ensemble") return text + ensemble_table(description, columns);
  return text + weights_table(description, columns);
}

}  // namespace chorale
