#include "launch/progress/format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

namespace chorale {
namespace {

constexpr int kNarrowestBar = 8;
constexpr int kWidestBar = 30;

double share(const ProgressState& state) {
  if (state.total <= 0) return 0;
  return std::clamp(static_cast<double>(state.done) / static_cast<double>(state.total), 0.0, 1.0);
}

std::string counter(const ProgressState& state) {
  return state.total > 0 ? fmt::format("{}/{}", state.done, state.total) : fmt::format("{}", state.done);
}

std::string bar(double filled_share, int width) {
  const int inside = width - 2;
  const int filled = static_cast<int>(std::floor(filled_share * inside));
  std::string text = "[";
  for (int i = 0; i < inside; ++i) text += i < filled ? '=' : (i == filled && filled > 0 ? '>' : ' ');
  return text + "]";
}

std::string loss_text(double loss) {
  return std::isfinite(loss) ? fmt::format("loss {:.3f}", loss) : "loss not finite";
}

}  // namespace

std::string format_duration(double seconds) {
  constexpr double kLongest = 1e9;
  if (!std::isfinite(seconds) || seconds < 0 || seconds > kLongest) return "?";
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  const std::int64_t minutes = whole / 60;
  const std::int64_t hours = minutes / 60;
  if (whole < 60) return fmt::format("{} s", whole);
  if (hours == 0) return fmt::format("{}:{:02}", minutes, whole % 60);
  if (hours < 24) return fmt::format("{}:{:02}:{:02}", hours, minutes % 60, whole % 60);
  return fmt::format("{} d {:02}:{:02}", hours / 24, hours % 24, minutes % 60);
}

std::string format_count(double count) {
  if (!std::isfinite(count) || count < 0) return "?";
  constexpr std::array<std::pair<double, std::string_view>, 3> kUnits = {{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}}};
  for (const auto& [size, unit] : kUnits) {
    // From where rounding to whole numbers would already show the next unit's first value.
    if (count >= size * 0.9995) return fmt::format("{:.1f}{}", count / size, unit);
  }
  return fmt::format("{:.0f}", count);
}

std::string format_bytes(double bytes) {
  if (!std::isfinite(bytes) || bytes < 0) return "?";
  return bytes < 0.9995e9 ? fmt::format("{:.0f} MB", bytes * 1e-6) : fmt::format("{:.1f} GB", bytes * 1e-9);
}

std::optional<double> remaining_seconds(const ProgressState& state) {
  if (state.total <= 0 || state.done <= state.before) return std::nullopt;
  const auto left = static_cast<double>(std::max<std::int64_t>(0, state.total - state.done));
  return state.elapsed_seconds / static_cast<double>(state.done - state.before) * left;
}

std::string format_bar(const ProgressState& state, int width) {
  struct Part {
    std::string text;
    int importance;  // the lowest goes first when the line is too long
  };
  constexpr int kAlways = 8;
  std::array<Part, 8> parts = {
      {{counter(state), kAlways}, {"", 6}, {"", 7}, {"", 3}, {"", 4}, {"", 5}, {"", 2}, {state.remark, 1}}};
  if (state.total > 0) parts[1].text = fmt::format("{:3.0f}%", std::floor(share(state) * 100));
  if (state.loss) parts[2].text = loss_text(*state.loss);
  if (state.tokens_per_second) parts[3].text = format_count(*state.tokens_per_second) + " tok/s";
  parts[4].text = format_duration(state.elapsed_seconds);
  if (const auto left = remaining_seconds(state)) parts[5].text = "ETA " + format_duration(*left);

  if (state.peak_bytes) parts[6].text = format_bytes(*state.peak_bytes);

  const auto facts = [&parts] {
    std::string text;
    for (const Part& part : parts) text += part.text.empty() ? std::string() : "  " + part.text;
    return text;
  };
  const auto room = [&](int bar_width) {
    const std::size_t used = state.phase.size() + facts().size() + (bar_width > 0 ? 1U : 0U);
    return width - static_cast<int>(used) - bar_width;
  };
  const int wanted_bar = state.total > 0 ? kNarrowestBar : 0;
  while (room(wanted_bar) < 0) {
    Part* least = nullptr;
    for (Part& part : parts) {
      if (!part.text.empty() && part.importance < kAlways &&
          (least == nullptr || part.importance < least->importance)) {
        least = &part;
      }
    }
    if (least == nullptr) break;
    least->text.clear();
  }
  std::string line = state.phase;
  if (wanted_bar > 0 && room(wanted_bar) >= 0) {
    line += " " + bar(share(state), std::min(kWidestBar, wanted_bar + room(wanted_bar)));
  }
  line += facts();
  return line.substr(0, static_cast<std::size_t>(std::max(0, width)));
}

std::string format_line(const ProgressState& state) {
  std::string line = fmt::format("{}  {} {}", state.phase, state.unit, counter(state));
  if (state.loss) line += "  " + loss_text(*state.loss);
  if (state.tokens_per_second) line += fmt::format("  {} tokens/s", format_count(*state.tokens_per_second));
  line += "  elapsed " + format_duration(state.elapsed_seconds);
  if (const auto left = remaining_seconds(state)) line += "  left " + format_duration(*left);
  if (state.peak_bytes) line += "  " + format_bytes(*state.peak_bytes);
  if (!state.remark.empty()) line += "  " + state.remark;
  return line;
}

std::string format_summary(const ProgressState& state) {
  const std::int64_t done = state.done - state.before;
  std::string line = fmt::format("{}: {} {}{} in {}", state.phase, done, state.unit,
                                 done == 1                    ? ""
                                 : state.unit.ends_with("ch") ? "es"
                                                              : "s",
                                 format_duration(state.elapsed_seconds));
  if (state.loss) line += ", " + loss_text(*state.loss);
  if (state.tokens_per_second) line += fmt::format(", {} tokens/s", format_count(*state.tokens_per_second));
  if (state.peak_bytes) line += ", " + format_bytes(*state.peak_bytes);
  return line;
}

}  // namespace chorale
