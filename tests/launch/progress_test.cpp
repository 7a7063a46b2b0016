// The progress display: exact texts, widths, and how often it draws.
#include "launch/progress/progress.hpp"

#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "launch/progress/format.hpp"
#include "support/catch.hpp"

namespace chorale {
namespace {

ProgressState training_state() {
  ProgressState state;
  state.phase = "training";
  state.done = 20;
  state.total = 114;
  state.loss = 1.23449;
  state.tokens_per_second = 1234;
  state.elapsed_seconds = 20;
  return state;
}

TEST_CASE("durations and counts") {
  CHECK(format_duration(0) == "0 s");
  CHECK(format_duration(59.4) == "59 s");
  CHECK(format_duration(59.6) == "1:00");
  CHECK(format_duration(3599.6) == "1:00:00");
  CHECK(format_duration(3723) == "1:02:03");
  CHECK(format_duration(86400 * 3 + 4 * 3600 + 300) == "3 d 04:05");
  CHECK(format_duration(-1) == "?");
  CHECK(format_duration(std::numeric_limits<double>::infinity()) == "?");
  CHECK(format_duration(std::nan("")) == "?");
  CHECK(format_count(0) == "0");
  CHECK(format_count(999.4) == "999");
  CHECK(format_count(999.6) == "1.0k");
  CHECK(format_count(12345) == "12.3k");
  CHECK(format_count(4.6e6) == "4.6M");
  CHECK(format_count(-1) == "?");
  CHECK(format_bytes(167.6e6) == "168 MB");
  CHECK(format_bytes(999.7e6) == "1.0 GB");
  CHECK(format_bytes(13.24e9) == "13.2 GB");
  CHECK(format_bytes(-1) == "?");
}

TEST_CASE("a bar and its plain twin") {
  CHECK(format_bar(training_state(), 80) ==
        "training [==>            ]  20/114   17%  loss 1.234  1.2k tok/s  20 s  ETA 1:34");
  CHECK(format_line(training_state()) == "training  step 20/114  loss 1.234  1.2k tokens/s  elapsed 20 s  left 1:34");
  CHECK(format_summary(training_state()) == "training: 20 steps in 20 s, loss 1.234, 1.2k tokens/s");
}

TEST_CASE("memory and remarks: in lines at the end, in a bar where there is room") {
  ProgressState state = training_state();
  state.peak_bytes = 2.31e9;
  state.remark = "slowest: group 2 (ranks 4-5) 1.4x";
  CHECK(format_line(state) ==
        "training  step 20/114  loss 1.234  1.2k tokens/s  elapsed 20 s  left 1:34  2.3 GB  "
        "slowest: group 2 (ranks 4-5) 1.4x");
  CHECK(format_summary(state) == "training: 20 steps in 20 s, loss 1.234, 1.2k tokens/s, 2.3 GB");
  CHECK(format_bar(state, 80) == "training [=>     ]  20/114   17%  loss 1.234  1.2k tok/s  20 s  ETA 1:34  2.3 GB");
  CHECK(format_bar(state, 120).ends_with("ETA 1:34  2.3 GB  slowest: group 2 (ranks 4-5) 1.4x"));
  CHECK(format_bar(state, 40) == "training [=>       ]  20/114  loss 1.234");
}

TEST_CASE("a bar without a total, a loss or a first step") {
  ProgressState state;
  state.phase = "loading";
  CHECK(format_bar(state, 80) == "loading  0  0 s");
  state.total = 4;
  CHECK(format_bar(state, 40) == "loading [" + std::string(14, ' ') + "]  0/4    0%  0 s");
  state.done = 4;
  state.loss = std::nan("");
  CHECK(format_bar(state, 100).find("[============================]  4/4  100%  loss not finite") != std::string::npos);
}

TEST_CASE("a phase that goes on counts its pace from where it began") {
  ProgressState state = training_state();
  state.total = 100;
  state.before = 60;
  state.done = 60;
  state.elapsed_seconds = 0.0;
  CHECK_FALSE(remaining_seconds(state));
  state.done = 70;
  state.elapsed_seconds = 20.0;
  CHECK(remaining_seconds(state) == 60.0);
  CHECK(format_summary(state).find("10 steps in 20 s") != std::string::npos);
}

TEST_CASE("a bar fits any width and keeps the counter longest") {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    ProgressState state = training_state();
    state.total = static_cast<std::int64_t>(random() % 100000);
    state.done = static_cast<std::int64_t>(random() % 100000);
    state.elapsed_seconds = static_cast<double>(random() % 1000000);
    if (random() % 2 == 0) state.loss.reset();
    if (random() % 2 == 0) state.tokens_per_second.reset();
    if (random() % 2 == 0) state.peak_bytes = static_cast<double>(random());
    if (random() % 2 == 0) state.remark = "slowest: group 2 (ranks 4-5) 1.4x";
    const int width = static_cast<int>(random() % 200);
    const std::string bar = format_bar(state, width);
    REQUIRE(bar.size() <= static_cast<std::size_t>(width));
    if (width >= 24) REQUIRE(bar.find(std::to_string(state.done)) != std::string::npos);
  }
  CHECK(format_bar(training_state(), 45).find("loss 1.234") != std::string::npos);
  CHECK(format_bar(training_state(), 45).find("tok/s") == std::string::npos);
}

// Draws into a temporary file and reads what came out.
class Screen {
 public:
  Screen() : file_(std::tmpfile()), line(file_) {}
  ~Screen() { std::fclose(file_); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  [[nodiscard]] std::FILE* file() const { return file_; }
  [[nodiscard]] std::string text() const {
    std::string all(static_cast<std::size_t>(std::ftell(file_)), '\0');
    std::rewind(file_);
    all.resize(std::fread(all.data(), 1, all.size(), file_));
    return all;
  }

 private:
  std::FILE* file_;

 public:
  StatusLine line;
};

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

TEST_CASE("a bar is redrawn at most ten times a second and leaves one line") {
  Screen screen;
  double now = 100;
  Progress progress(ProgressMode::bar, screen.line, [&now] { return now; });
  progress.start("training", 1000);
  for (int step = 1; step <= 1000; ++step) {
    now += 0.002;
    progress.update(step, 0.5, step * 10);
  }
  progress.finish();
  const std::string text = screen.text();
  // The first one, one per 0.1 s of the 2 s, and the erasing before the last line.
  CHECK(count(text, "\r") >= 20);
  CHECK(count(text, "\r") <= 22);
  CHECK(text.ends_with("\r\033[Ktraining: 1000 steps in 2 s, loss 0.500, 5.0k tokens/s\n"));
}

TEST_CASE("messages scroll above the bar") {
  Screen screen;
  screen.line.show("bar");
  screen.line.print("note");
  screen.line.clear();
  screen.line.print("end");
  CHECK(screen.text() == "\r\033[Kbar\r\033[Knote\nbar\r\033[Kend\n");
}

TEST_CASE("plain lines come every ten seconds, without control characters") {
  Screen screen;
  double now = 0;
  Progress progress(
      ProgressMode::lines, screen.line, [&now] { return now; }, [] { return "12:00:00 "; });
  progress.start("evaluation", 35, "batch");
  for (int step = 1; step <= 35; ++step) {
    now += 1;
    progress.update(step);
  }
  progress.finish();
  CHECK(screen.text() ==
        "12:00:00 evaluation  batch 10/35  elapsed 10 s  left 25 s\n"
        "12:00:00 evaluation  batch 20/35  elapsed 20 s  left 15 s\n"
        "12:00:00 evaluation  batch 30/35  elapsed 30 s  left 5 s\n"
        "12:00:00 evaluation: 35 batches in 35 s\n");
}

// Steps of `seconds`, an interval every `log_every`: the steps at which lines came.
std::vector<int> steps_with_a_line(int steps, double seconds, int log_every) {
  Screen screen;
  double now = 0;
  Progress progress(
      ProgressMode::lines, screen.line, [&now] { return now; }, [] { return ""; });
  progress.start("training", steps);
  for (int step = 1; step <= steps; ++step) {
    now += seconds;
    progress.update(step);
    if (step % log_every == 0) progress.interval();
  }
  std::vector<int> found;
  std::istringstream lines(screen.text());
  for (std::string line; std::getline(lines, line);) found.push_back(std::stoi(line.substr(line.find("step ") + 5)));
  return found;
}

TEST_CASE("a line for every interval, five seconds apart at least, and one a minute where intervals are long") {
  CHECK(steps_with_a_line(60, 1.0, 10) == std::vector<int>{10, 20, 30, 40, 50, 60});
  CHECK(steps_with_a_line(20, 1.0, 2) == std::vector<int>{6, 12, 18});
  CHECK(steps_with_a_line(1000, 0.004, 1).empty());
  // The first sign of life after ten seconds; then an interval of 100 s has one more between its ends.
  CHECK(steps_with_a_line(200, 1.0, 100) == std::vector<int>{10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 160, 200});
}

TEST_CASE("a window that became narrower: every row of the old bar is erased") {
  Screen screen;
  int columns = 80;
  StatusLine line(screen.file(), [&columns] { return columns; });
  line.show(std::string(79, 'a'));
  columns = 40;
  line.show("bar");
  columns = 20;
  line.show("bar2");
  line.show(std::string(19, 'b'));
  columns = 6;
  line.print("note");
  line.print("end");
  CHECK(screen.text() == "\r\033[K" + std::string(79, 'a') + "\r\033[1A\033[Jbar\r\033[Kbar2\r\033[K" +
                             std::string(19, 'b') + "\r\033[3A\033[Jnote\nend\n");
}

TEST_CASE("without escape codes blanks erase") {
  Screen screen;
  StatusLine line(
      screen.file(), [] { return 80; }, false);
  line.show("longer");
  line.show("bar");
  line.print("note");
  line.clear();
  CHECK(screen.text() == "\r\rlonger\r      \rbar\r   \rnote\nbar\r   \r");
}

TEST_CASE("progress that is off says nothing, and one left by an exception leaves a clean line") {
  Screen silent;
  {
    Progress progress(ProgressMode::off, silent.line);
    progress.start("training", 3);
    progress.update(3);
    progress.finish();
  }
  CHECK(silent.text().empty());
  Screen screen;
  {
    Progress progress(ProgressMode::bar, screen.line);
    progress.start("training", 3);
  }
  CHECK(screen.text().ends_with("\r\033[K"));
}

}  // namespace
}  // namespace chorale
