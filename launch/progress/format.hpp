// How progress looks: pure functions from numbers to one line of text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace chorale {

struct ProgressState {
  std::string phase;  // loading, caching, training, validation, evaluation, ...
  std::string unit = "step";
  std::int64_t done = 0;
  std::int64_t before = 0;  // of these, done before the clock started: by the run that this one goes on from
  std::int64_t total = 0;   // 0: not known
  std::optional<double> loss;
  std::optional<double> tokens_per_second;
  std::optional<double> peak_bytes;  // of memory, by the rank that took most
  std::string remark;                // anything else worth saying, e.g. which group is the slowest
  double elapsed_seconds = 0;
};

/// "8 s", "1:05", "2:03:04", "3 d 04:05"; "?" for what is no duration.
[[nodiscard]] std::string format_duration(double seconds);

/// "950", "12.3k", "4.6M".
[[nodiscard]] std::string format_count(double count);

/// "512 MB", "2.3 GB".
[[nodiscard]] std::string format_bytes(double bytes);

/// Seconds until the end at the pace so far; nothing before the first step or without a total.
[[nodiscard]] std::optional<double> remaining_seconds(const ProgressState& state);

/// One line of at most `width` columns (ASCII) for a terminal: phase, bar, step/total, per cent, loss, tokens per
/// second, elapsed and remaining time, memory, remark; what matters least is left out first when it gets narrow.
[[nodiscard]] std::string format_bar(const ProgressState& state, int width);

/// The same facts as a line of a log: "training  step 20/114  loss 1.234  812 tokens/s  elapsed 0:20  left 1:34
/// 2.3 GB".
[[nodiscard]] std::string format_line(const ProgressState& state);

/// What stays when a phase is over: "training: 114 steps in 1:34, loss 0.912, 812 tokens/s, 2.3 GB".
[[nodiscard]] std::string format_summary(const ProgressState& state);

}  // namespace chorale
