#include "launch/recipe/writer.hpp"

#include <fmt/format.h>
#include <yaml-cpp/emitter.h>
#include <yaml-cpp/emittermanip.h>

#include <algorithm>
#include <cctype>
#include <initializer_list>

namespace chorale::recipe {
namespace {

// Words some YAML version reads as a boolean or as nothing.
bool is_yaml_word(const std::string& value) {
  std::string lower = value;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::initializer_list<std::string_view> words = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
  return std::find(words.begin(), words.end(), lower) != words.end();
}

}  // namespace

struct Writer::State {
  YAML::Emitter out;
  void key(std::string_view name) { out << YAML::Key << std::string(name) << YAML::Value; }
  void text(const std::string& value) {
    // Plain only where every YAML reader agrees that it is text; in doubt, quotes.
    bool plain = !value.empty() && std::isalpha(static_cast<unsigned char>(value.front())) != 0;
    for (const char c : value) {
      plain =
          plain && (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.' || c == '/');
    }
    plain = plain && !is_yaml_word(value);
    if (plain) {
      out << value;
    } else {
      out << YAML::DoubleQuoted << value;
    }
  }
};

Writer::Writer() : state_(std::make_unique<State>()) {
  state_->out.SetOutputCharset(YAML::EmitNonAscii);
  state_->out.SetNullFormat(YAML::LowerNull);
  state_->out << YAML::BeginMap;
}

Writer::~Writer() = default;

void Writer::begin(std::string_view name) {
  state_->key(name);
  state_->out << YAML::BeginMap;
}

void Writer::begin_item() {
  state_->out << YAML::BeginMap;
}
void Writer::end() {
  state_->out << YAML::EndMap;
}

void Writer::begin_list(std::string_view name) {
  state_->key(name);
  state_->out << YAML::BeginSeq;
}

void Writer::end_list() {
  state_->out << YAML::EndSeq;
}

void Writer::text(std::string_view name, const std::string& value) {
  state_->key(name);
  state_->text(value);
}

void Writer::word(std::string_view name, std::string_view value) {
  state_->key(name);
  state_->out << std::string(value);
}

void Writer::integer(std::string_view name, std::int64_t value) {
  word(name, fmt::format("{}", value));
}
void Writer::unsigned_integer(std::string_view name, std::uint64_t value) {
  word(name, fmt::format("{}", value));
}
void Writer::number(std::string_view name, double value) {
  word(name, number_text(value));
}
void Writer::boolean(std::string_view name, bool value) {
  word(name, value ? "true" : "false");
}

void Writer::null(std::string_view name) {
  state_->key(name);
  state_->out << YAML::_Null();
}

void Writer::texts(std::string_view name, const std::vector<std::string>& values) {
  state_->key(name);
  state_->out << YAML::Flow << YAML::BeginSeq;
  for (const std::string& value : values) state_->text(value);
  state_->out << YAML::EndSeq;
}

void Writer::words(std::string_view name, const std::vector<std::string>& values) {
  state_->key(name);
  state_->out << YAML::Flow << YAML::BeginSeq;
  for (const std::string& value : values) state_->out << value;
  state_->out << YAML::EndSeq;
}

std::string Writer::finish() {
  state_->out << YAML::EndMap;
  return std::string(state_->out.c_str()) + "\n";
}

std::string number_text(double value) {
  std::string text = fmt::format("{}", value);
  // Readers of YAML 1.1, PyYAML for one, take 1e-08 for a word: they want a point before the exponent.
  const std::size_t exponent = text.find('e');
  if (exponent != std::string::npos && text.find('.') == std::string::npos) text.insert(exponent, ".0");
  return text;
}

}  // namespace chorale::recipe
