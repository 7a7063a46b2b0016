// Signals as notes, in processes of their own: what is noted stays noted.
#include "core/base/interruption.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>

#include "support/catch.hpp"

using namespace chorale;

namespace {

// How a process ends that does this: its exit code, or minus the signal that ended it.
int end_of(const std::function<int()>& part) {
  const pid_t child = fork();
  if (child == 0) {
    // The test program has handlers of its own.
    for (const int signal : {SIGTERM, SIGUSR1, SIGUSR2, SIGINT}) std::signal(signal, SIG_DFL);
    _exit(part());
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) return 999;
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int code_of_stopping() {
  try {
    stop_if_asked("a test");
  } catch (const Preempted& request) {
    return static_cast<int>(request.code());
  }
  return 0;
}

}  // namespace

TEST_CASE("each of the four signals is a note, and long work stops at it") {
  for (const int signal : {SIGTERM, SIGUSR1, SIGUSR2, SIGINT}) {
    CHECK(end_of([&] {
            note_signals_as_interruption();
            if (interruption() != 0 || code_of_stopping() != 0) return 1;
            std::raise(signal);
            if (interruption() != signal || !interruption_is_own()) return 2;
            return code_of_stopping();
          }) == 75);
    CHECK(end_of([&] { return std::raise(signal); }) == -signal);  // without having asked for it
  }
}

TEST_CASE("a second SIGINT ends the process, whatever came first, and others may come twice") {
  const auto twice = [](int first, int second, int third) {
    return end_of([&] {
      note_signals_as_interruption();
      std::raise(first);
      std::raise(second);
      if (third != 0) std::raise(third);
      return interruption();
    });
  };
  CHECK(twice(SIGINT, SIGINT, 0) == -SIGINT);
  CHECK(twice(SIGTERM, SIGTERM, SIGTERM) == SIGTERM);
  CHECK(twice(SIGTERM, SIGINT, 0) == SIGINT);
  CHECK(twice(SIGTERM, SIGINT, SIGINT) == -SIGINT);
}

TEST_CASE("SIGINT stays ignored where it was, the others do not") {
  CHECK(end_of([] {
          std::signal(SIGINT, SIG_IGN);
          std::signal(SIGUSR2, SIG_IGN);
          note_signals_as_interruption();
          std::raise(SIGINT);
          if (interruption() != 0) return 1;
          std::raise(SIGUSR2);
          return interruption();
        }) == SIGUSR2);
}

TEST_CASE("a program that is started afterwards has the default actions") {
  const int code = end_of([] {
    note_signals_as_interruption();
    return execl("/bin/sh", "sh", "-c", "kill -USR1 $$; exit 0", nullptr);
  });
  CHECK(code == -SIGUSR1);
}

TEST_CASE("a signal that came to another rank counts, but is not its own") {
  CHECK(end_of([] {
          pass_on_interruption(SIGTERM);
          pass_on_interruption(SIGUSR1);
          return interruption() == SIGTERM && !interruption_is_own() ? code_of_stopping() : 1;
        }) == 75);
}

TEST_CASE("signals have names") {
  CHECK(signal_name(SIGTERM) == "SIGTERM");
  CHECK(signal_name(99) == "signal 99");
}
