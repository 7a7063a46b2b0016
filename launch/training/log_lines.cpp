#include "launch/training/log_lines.hpp"

#include <algorithm>
#include <fstream>

#include "core/base/strict_json.hpp"

namespace chorale {

std::tuple<std::int64_t, int, std::int64_t> place_of(const nlohmann::json& line) {
  const int kind = line.contains("note") ? 2 : line.contains("validation") ? 1 : 0;
  return {line["step"].get<std::int64_t>(), kind, line.value("member", std::int64_t{0})};
}

std::vector<nlohmann::json> member_lines(const std::string& path) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(path);
  std::size_t number = 0;
  for (std::string text; std::getline(file, text);) {
    nlohmann::json line = parse_strict_json(text, path, ++number);
    if (!line.is_object() || !line.contains("member") || !line.contains("step")) continue;
    line.erase("pooled_validation");
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string log_text(std::vector<nlohmann::json> lines) {
  std::stable_sort(lines.begin(), lines.end(),
                   [](const nlohmann::json& a, const nlohmann::json& b) { return place_of(a) < place_of(b); });
  std::string text;
  for (const nlohmann::json& line : lines) text += line.dump() + "\n";
  return text;
}

}  // namespace chorale
