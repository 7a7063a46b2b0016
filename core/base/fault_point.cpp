#include "core/base/fault_point.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "core/base/descriptor.hpp"
#include "core/base/errors.hpp"

namespace chorale {

#ifdef CHORALE_FAULT_POINTS
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int error_named(std::string_view name) {
  struct Named {
    std::string_view name;
    int number;
  };
  for (const Named& error : {Named{"ENOSPC", ENOSPC}, Named{"EDQUOT", EDQUOT}, Named{"EIO", EIO},
                             Named{"EINVAL", EINVAL}, Named{"ENOLCK", ENOLCK}, Named{"EACCES", EACCES}}) {
    if (error.name == name) return error.number;
  }
  return 0;
}

struct Plan {
  long long at = std::atoll(environment("CHORALE_FAULT_AT").c_str());           // 0: never
  int error_number = error_named(environment("CHORALE_FAULT_ERRNO"));           // 0: kill
  long long failures = std::atoll(environment("CHORALE_FAULT_COUNT").c_str());  // 0: all
  int signal = std::atoi(environment("CHORALE_FAULT_SIGNAL").c_str());          // 0: none
  std::chrono::milliseconds sleep{std::atoll(environment("CHORALE_FAULT_SLEEP").c_str())};
  std::string only = environment("CHORALE_FAULT_ONLY");
  std::string log = environment("CHORALE_FAULT_LOG");
};

const Plan& the_plan() {
  static const Plan plan;
  return plan;
}

}  // namespace

FaultVerdict ask_fault_point(const char* operation, const std::string& path) {
  const Plan& plan = the_plan();
  static std::atomic<long long> calls{0};
  if (!plan.only.empty() && plan.only != operation) return {};
  const long long call = ++calls;
  if (!plan.log.empty()) {
    const Descriptor log(::open(plan.log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666));
    const std::string line = fmt::format("{} {} {}\n", call, operation, path);
    // A log that cannot be written shows in the tests that read it.
    static_cast<void>(::write(log.get(), line.data(), line.size()) != 0);
  }
  if (plan.at <= 0 || call < plan.at) return {};
  if (plan.sleep.count() > 0) {
    std::this_thread::sleep_for(plan.sleep);
    return {};
  }
  if (plan.signal != 0) {
    if (call == plan.at) ::kill(::getpid(), plan.signal);
    return {};
  }
  if (plan.error_number != 0) {
    const bool is_over = plan.failures > 0 && call >= plan.at + plan.failures;
    return is_over ? FaultVerdict() : FaultVerdict{Fault::fail, plan.error_number};
  }
  return {call == plan.at ? Fault::kill : Fault::none, 0};
}

void fault_place(const char* name) {
  if (the_plan().only != name) return;
  if (fault_point(name, "") != 0) throw InternalError(fmt::format("failed as a test asked, at '{}'", name));
}
#else
void fault_place(const char* /*name*/) {}

FaultVerdict ask_fault_point(const char* /*operation*/, const std::string& /*path*/) {
  return {};
}
#endif

int fault_point(const char* operation, const std::string& path) {
  const FaultVerdict verdict = ask_fault_point(operation, path);
  if (verdict.fault == Fault::kill) kill_here();
  return verdict.error_number;
}

void kill_here() {
  ::kill(::getpid(), SIGKILL);
  std::abort();  // not reached: no process outlives its own SIGKILL
}

}  // namespace chorale
