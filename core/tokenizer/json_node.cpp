#include "core/tokenizer/json_node.hpp"

#include <fmt/format.h>

#include <limits>

#include "core/base/errors.hpp"
#include "core/base/mapped_file.hpp"
#include "core/base/printable.hpp"
#include "core/base/strict_json.hpp"
#include "core/tokenizer/remedy.hpp"

namespace chorale {

nlohmann::json read_json_file(const std::string& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return parse_strict_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

void JsonNode::fail(std::string_view message) const {
  throw InputError(fmt::format("{}: {}{}{}", *file_, printable(key_, 120), key_.empty() ? "" : ": ",
                               with_tokenizer_remedy(message)));
}

void JsonNode::wrong_type(std::string_view expected) const {
  fail(fmt::format("expected {}, found {}", expected, value_->type_name()));
}

JsonNode JsonNode::at(const std::string& name) const {
  if (!value_->is_object()) {
    wrong_type("an object");
  }
  const auto found = value_->find(name);
  const std::string inner = key_.empty() ? name : key_ + "." + name;
  if (found == value_->end()) {
    JsonNode(*value_, *file_, inner).fail("this key is missing");
  }
  return {*found, *file_, inner};
}

std::optional<JsonNode> JsonNode::find(const std::string& name) const {
  if (!value_->is_object()) {
    wrong_type("an object");
  }
  const auto found = value_->find(name);
  if (found == value_->end() || found->is_null()) {
    return std::nullopt;
  }
  return JsonNode(*found, *file_, key_.empty() ? name : key_ + "." + name);
}

std::size_t JsonNode::array_size() const {
  if (!value_->is_array()) {
    wrong_type("a list");
  }
  return value_->size();
}

JsonNode JsonNode::element(std::size_t index) const {
  CHORALE_ASSERT(index < array_size(), "element of a list");
  return {(*value_)[index], *file_, fmt::format("{}[{}]", key_, index)};
}

const std::string& JsonNode::string() const {
  if (!value_->is_string()) {
    wrong_type("a string");
  }
  return value_->get_ref<const std::string&>();
}

bool JsonNode::boolean() const {
  if (!value_->is_boolean()) {
    wrong_type("true or false");
  }
  return value_->get<bool>();
}

std::int32_t JsonNode::integer() const {
  if (!value_->is_number_integer()) {
    wrong_type("an integer");
  }
  constexpr std::int64_t limit = std::numeric_limits<std::int32_t>::max();
  const auto number = value_->get<std::int64_t>();
  const bool too_large =
      value_->is_number_unsigned() && value_->get<std::uint64_t>() > static_cast<std::uint64_t>(limit);
  if (too_large || number < -limit || number > limit) {
    fail(fmt::format("{} is no sensible value here", value_->dump()));
  }
  return static_cast<std::int32_t>(number);
}

bool JsonNode::boolean_or(const std::string& name, bool otherwise) const {
  const auto node = find(name);
  return node ? node->boolean() : otherwise;
}

}  // namespace chorale
