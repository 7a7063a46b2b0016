#include "core/base/strict_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <vector>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"

namespace chorale {
namespace {

using nlohmann::json;

// What the parser must stop for although it is JSON; thrown through the parser.
struct Refused {
  std::string reason;
};

// Watches the parse: which keys the open objects have had, and how deep it is.
class Watch {
 public:
  explicit Watch(std::size_t max_depth) : max_depth_(max_depth) {}

  bool operator()(int /*depth*/, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        if (open_.size() == max_depth_)
          throw Refused{fmt::format("more than {} levels of nesting; make it flatter", max_depth_)};
        open_.emplace_back();
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        open_.pop_back();
        break;
      case json::parse_event_t::key: {
        const std::string& key = parsed.get_ref<const std::string&>();
        if (!open_.back().insert(key).second)
          throw Refused{fmt::format("the key '{}' stands twice in one object; remove one of them", printable(key))};
        break;
      }
      case json::parse_event_t::value:
        break;
    }
    return true;
  }

 private:
  std::size_t max_depth_;
  std::vector<std::set<std::string>> open_;
};

// An iterator that tells how far the parser has read, for mistakes that are ours and carry no offset.
class Counting {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Counting(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  Counting& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  Counting operator++(int) {
    Counting before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Counting& other) const { return at_ == other.at_; }
  bool operator!=(const Counting& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

// "path:line:column" of byte `offset` of `text`.
std::string place(std::string_view text, std::size_t offset, const std::string& path, std::size_t first_line) {
  const std::string_view before = text.substr(0, offset);
  const auto lines = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
  const std::size_t line_start = before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1;
  const std::string_view line = before.substr(line_start);
  const auto characters = std::count_if(line.begin(), line.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;  // not a continuation byte
  });
  return fmt::format("{}:{}:{}", path, first_line + lines, characters + 1);
}

// The library's message without its own prefix: "[json.exception.parse_error.101] parse error at line 1, column 5:
// ...".
std::string reason_of(const json::exception& error) {
  const std::string message = error.what();
  for (const std::string_view marker : {"syntax error", "invalid", "number overflow"}) {
    if (const std::size_t at = message.find(marker); at != message.npos) return printable(message.substr(at), 240);
  }
  return printable(message, 240);
}

}  // namespace

json parse_strict_json(std::string_view text, const std::string& path, std::size_t first_line, std::size_t max_depth,
                       std::string_view remedy) {
  const char* furthest = text.data();
  const auto read = [&] { return static_cast<std::size_t>(furthest - text.data()); };
  const auto fail = [&](std::size_t offset, const std::string& reason) -> InputError {
    return InputError(fmt::format("{}: {}. {}", place(text, offset, path, first_line), reason, remedy));
  };
  try {
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    json value = json::parse(Counting(begin, &furthest), Counting(end, &furthest), Watch(max_depth));
    // The library takes a NUL for the end, whatever comes behind it.
    if (const std::size_t nul = text.find('\0'); nul != text.npos) throw fail(nul, "not valid JSON: a NUL byte");
    return value;
  } catch (const Refused& refused) {
    throw fail(read() == 0 ? 0 : read() - 1, refused.reason);
  } catch (const json::parse_error& error) {
    throw fail(error.byte == 0 ? 0 : error.byte - 1, "not valid JSON: " + reason_of(error));
  } catch (const json::exception& error) {
    throw fail(read() == 0 ? 0 : read() - 1, "not valid JSON: " + reason_of(error));
  }
}

}  // namespace chorale
