#include "launch/progress/progress.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace chorale {
namespace {

constexpr double kBarSeconds = 0.1;
constexpr double kLineSeconds = 10.0;
constexpr double kShortestInterval = 5.0;
constexpr double kLongestInterval = 60.0;

}  // namespace

ProgressMode progress_mode(bool wanted) {
  if (!wanted) return ProgressMode::off;
  return standard_error_is_terminal() ? ProgressMode::bar : ProgressMode::lines;
}

Progress::Progress(ProgressMode mode, StatusLine& line, Clock clock, Stamp stamp)
    : mode_(mode), line_(line), clock_(std::move(clock)), stamp_(std::move(stamp)) {}

Progress::~Progress() {
  if (running_ && mode_ == ProgressMode::bar) line_.clear();
}

double Progress::steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Progress::start(const std::string& phase, std::int64_t total, const std::string& unit, std::int64_t before) {
  state_ = ProgressState{};
  state_.phase = phase;
  state_.unit = unit;
  state_.total = total;
  state_.done = state_.before = before;
  running_ = true;
  started_ = clock_();
  has_intervals_ = false;
  // The bar stands there at once; the first line waits, because many phases are over before it is due.
  next_draw_ = started_ + kLineSeconds;
  next_line_ = started_ + kShortestInterval;
  if (mode_ == ProgressMode::bar) draw(started_);
}

void Progress::update(std::int64_t done, std::optional<double> loss, std::optional<std::int64_t> tokens) {
  if (!running_) return;
  const double now = clock_();
  state_.done = done;
  state_.elapsed_seconds = now - started_;
  if (loss) state_.loss = loss;
  if (tokens && state_.elapsed_seconds > 0) {
    state_.tokens_per_second = static_cast<double>(*tokens) / state_.elapsed_seconds;
  }
  if (now >= next_draw_) draw(now);
}

void Progress::note(double peak_bytes, std::string remark) {
  if (peak_bytes > 0) state_.peak_bytes = peak_bytes;
  state_.remark = std::move(remark);
}

void Progress::interval() {
  if (!running_) return;
  has_intervals_ = true;
  const double now = clock_();
  state_.elapsed_seconds = now - started_;
  if (mode_ != ProgressMode::bar) next_draw_ = std::max(next_draw_, now + kLongestInterval);
  if (now >= (mode_ == ProgressMode::bar ? next_draw_ : next_line_)) draw(now);
}

void Progress::draw(double now) {
  if (mode_ == ProgressMode::bar) {
    // One column stays free: a character in the last one makes some terminals wrap.
    line_.show(format_bar(state_, std::max(1, terminal_width() - 1)));
    next_draw_ = now + kBarSeconds;
  } else if (mode_ == ProgressMode::lines) {
    print(format_line(state_));
    next_draw_ = now + (has_intervals_ ? kLongestInterval : kLineSeconds);
    next_line_ = now + kShortestInterval;
  }
}

void Progress::finish() {
  if (!running_) return;
  running_ = false;
  state_.elapsed_seconds = clock_() - started_;
  if (mode_ == ProgressMode::off) return;
  line_.clear();
  print(format_summary(state_));
}

void Progress::print(const std::string& text) {
  line_.print(mode_ == ProgressMode::lines ? stamp_() + text : text);
}

}  // namespace chorale
