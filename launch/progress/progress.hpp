// Shows how far a run is: a redrawn bar on a terminal, a line now and then in a file, nothing when not wanted.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "launch/progress/format.hpp"
#include "launch/progress/status_line.hpp"
#include "launch/progress/time_stamp.hpp"

namespace chorale {

enum class ProgressMode { off, bar, lines };

/// What suits standard error: a bar on a terminal, lines elsewhere; off unless `wanted`.
[[nodiscard]] ProgressMode progress_mode(bool wanted);

/// One phase at a time: start, update as often as you like, finish. A phase that is left by an exception is cleared.
///
/// A bar is drawn at most ten times a second. Lines, each behind the time of day, come at the end of every interval the
/// phase has, but five seconds apart at least; without intervals after ten seconds and then every ten, and where an
/// interval takes long every minute.
class Progress {
 public:
  using Clock = std::function<double()>;       // seconds, never running backwards
  using Stamp = std::function<std::string()>;  // what stands in front of a line

  explicit Progress(ProgressMode mode, StatusLine& line = standard_error_line(), Clock clock = steady_seconds,
                    Stamp stamp = time_stamp);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Begins a phase of `total` units (0: not known), of which `before` are over already.
  void start(const std::string& phase, std::int64_t total, const std::string& unit = "step", std::int64_t before = 0);
  /// `done` units of the phase are over, with the latest `loss`, if there is one, and the tokens since start().
  void update(std::int64_t done, std::optional<double> loss = std::nullopt,
              std::optional<std::int64_t> tokens = std::nullopt);
  /// What else there is to show from now on: peak memory in bytes, and a remark.
  void note(double peak_bytes, std::string remark);
  /// An interval is over: a line is due.
  void interval();
  /// Ends the phase and leaves one line about it.
  void finish();

  [[nodiscard]] static double steady_seconds();

 private:
  void draw(double now);
  void print(const std::string& text);

  ProgressMode mode_;
  StatusLine& line_;
  Clock clock_;
  Stamp stamp_;
  ProgressState state_;
  bool running_ = false;
  double started_ = 0;
  bool has_intervals_ = false;
  double next_draw_ = 0;  // by update()
  double next_line_ = 0;  // by interval()
};

}  // namespace chorale
