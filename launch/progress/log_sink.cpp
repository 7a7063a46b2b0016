#include "launch/progress/log_sink.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <string_view>

#include "launch/progress/status_line.hpp"
#include "launch/progress/time_stamp.hpp"

namespace chorale {
namespace {

struct Mark {
  std::string_view word;
  std::string_view colour;
};

Mark mark_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
      return {"trace: ", "\033[2m"};
    case spdlog::level::debug:
      return {"debug: ", "\033[2m"};
    case spdlog::level::warn:
      return {"warning: ", "\033[33m"};
    case spdlog::level::err:
    case spdlog::level::critical:
      return {"error: ", "\033[31m"};
    default:
      return {"", ""};
  }
}

class StandardErrorSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  StandardErrorSink(bool terminal, bool coloured) : terminal_(terminal), coloured_(coloured) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const Mark mark = mark_of(message.level);
    const std::string_view payload(message.payload.data(), message.payload.size());
    if (!terminal_) {
      standard_error_line().print(fmt::format("{}{}{}", time_stamp(), mark.word, payload));
    } else if (coloured_ && !mark.word.empty()) {
      standard_error_line().print(fmt::format("{}{}\033[0m{}", mark.colour, mark.word, payload));
    } else {
      standard_error_line().print(fmt::format("{}{}", mark.word, payload));
    }
  }
  void flush_() override {}

 private:
  bool terminal_;
  bool coloured_;
};

}  // namespace

void start_logging(const std::string& level) {
  const char* no_colour = std::getenv("NO_COLOR");
  const bool coloured = no_colour == nullptr || *no_colour == '\0';
  auto sink = std::make_shared<StandardErrorSink>(standard_error_is_terminal(), coloured);
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("chorale", std::move(sink)));
  spdlog::set_level(spdlog::level::from_str(level));
}

}  // namespace chorale
