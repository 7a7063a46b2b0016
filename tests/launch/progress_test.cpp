// The progress display: exact texts, widths, and how often it draws.
#include "launch/progress/progress.hpp"

#include <cmath>
#include <cstdio>
#include <limits>
#include <random>

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
}

TEST_CASE("a bar and its plain twin") {
  CHECK(format_bar(training_state(), 80) ==
        "training [==>            ]  20/114   17%  loss 1.234  1.2k tok/s  20 s  ETA 1:34");
  CHECK(format_line(training_state()) == "training  step 20/114  loss 1.234  1.2k tokens/s  elapsed 20 s  left 1:34");
  CHECK(format_summary(training_state()) == "training: 20 steps in 20 s, loss 1.234, 1.2k tokens/s");
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
  Progress progress(ProgressMode::lines, screen.line, [&now] { return now; });
  progress.start("evaluation", 35, "batch");
  for (int step = 1; step <= 35; ++step) {
    now += 1;
    progress.update(step);
  }
  progress.finish();
  CHECK(screen.text() ==
        "evaluation  batch 10/35  elapsed 10 s  left 25 s\n"
        "evaluation  batch 20/35  elapsed 20 s  left 15 s\n"
        "evaluation  batch 30/35  elapsed 30 s  left 5 s\n"
        "evaluation: 35 batches in 35 s\n");
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
