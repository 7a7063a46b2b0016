#include "core/data/describe.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <vector>

#include "core/base/printable.hpp"
#include "core/data/records.hpp"

namespace chorale {
namespace {

using nlohmann::json;

constexpr std::size_t kExamples = 3;
constexpr std::size_t kMaxValues = 30;
constexpr std::size_t kLongestValue = 60;

std::size_t characters(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;  // continuation bytes start no character
  }));
}

std::optional<std::size_t> length_of(const json& value) {
  if (value.is_string()) return characters(value.get_ref<const std::string&>());
  if (value.is_array()) return value.size();
  return std::nullopt;
}

std::string shown(const json& value) {
  return printable(value.is_string() ? value.get<std::string>() : value.dump());
}

// What is gathered about one field.
class FieldSummary {
 public:
  void add(const json& value) {
    ++present_;
    ++types_[value.type_name()];
    if (const std::optional<std::size_t> length = length_of(value)) {
      shortest_ = std::min(shortest_, *length);
      longest_ = std::max(longest_, *length);
      total_ += *length;
      ++measured_;
    }
    const std::string text = shown(value);
    if (examples_.size() < kExamples && std::find(examples_.begin(), examples_.end(), text) == examples_.end()) {
      examples_.push_back(text);
    }
    count_value(value, text);
  }

  [[nodiscard]] json summary() const {
    json result = {{"present", present_}, {"types", types_}, {"examples", examples_}};
    if (measured_ > 0) {
      const double mean = static_cast<double>(total_) / static_cast<double>(measured_);
      result["length"] = {{"min", shortest_}, {"mean", mean}, {"max", longest_}};
    }
    if (few_values_ && values_.size() < present_) result["values"] = values_;
    return result;
  }

 private:
  void count_value(const json& value, const std::string& text) {
    few_values_ = few_values_ && value.is_primitive() && text.size() <= kLongestValue;
    if (!few_values_) return;
    ++values_[text];
    few_values_ = values_.size() <= kMaxValues;
  }

  std::size_t present_ = 0;
  std::size_t measured_ = 0;
  std::size_t shortest_ = SIZE_MAX;
  std::size_t longest_ = 0;
  std::size_t total_ = 0;
  std::map<std::string, std::size_t> types_;
  std::map<std::string, std::size_t> values_;
  std::vector<std::string> examples_;
  bool few_values_ = true;
};

}  // namespace

json describe_data(const std::string& path) {
  const RecordFile file = read_records(path);
  std::map<std::string, FieldSummary> fields;
  for (const Record& record : file.records) {
    for (const auto& item : record.fields.items()) fields[item.key()].add(item.value());
  }
  json described = json::object();
  for (const auto& [name, field] : fields) described[name] = field.summary();
  return {{"path", path},
          {"format", record_format(path)},
          {"records", file.records.size()},
          {"fields", std::move(described)}};
}

}  // namespace chorale
