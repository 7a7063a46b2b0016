// Writes the resolved recipe: block maps, short lists on one line, text quoted wherever YAML might misread it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace chorale::recipe {

class Writer {
 public:
  Writer();
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void begin(std::string_view name);       // a map under `name`
  void begin_item();                       // a map as an item of the open list
  void end();                              // of either
  void begin_list(std::string_view name);  // a list of maps
  void end_list();

  void text(std::string_view name, const std::string& value);
  void word(std::string_view name, std::string_view value);  // a word of ours, never quoted
  void integer(std::string_view name, std::int64_t value);
  void unsigned_integer(std::string_view name, std::uint64_t value);
  void number(std::string_view name, double value);
  void boolean(std::string_view name, bool value);
  void null(std::string_view name);
  void texts(std::string_view name, const std::vector<std::string>& values);
  void words(std::string_view name, const std::vector<std::string>& values);

  [[nodiscard]] std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The shortest decimal text that reads back to the same double.
[[nodiscard]] std::string number_text(double value);

}  // namespace chorale::recipe
