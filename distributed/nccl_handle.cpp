#include "distributed/nccl_handle.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

namespace chorale::nccl {
namespace {

std::string message(std::string_view operation, std::string_view who, std::string_view reason) {
  const char* last = ncclGetLastError(nullptr);
  const std::string detail = last == nullptr || *last == '\0' ? "" : fmt::format(" ({})", last);
  return fmt::format(
      "{} failed on {}: {}{}. Another rank's message may tell more; NCCL_DEBUG=WARN makes NCCL explain itself, and "
      "distributed.backend=mpi does without it.",
      operation, who, reason, detail);
}

bool is_fine(ncclResult_t result) {
  return result == ncclSuccess || result == ncclInProgress;
}

}  // namespace

ncclUniqueId unique_id(std::string_view who) {
  ncclUniqueId id{};
  const ncclResult_t result = ncclGetUniqueId(&id);
  if (result != ncclSuccess) throw NcclError(message("ncclGetUniqueId", who, ncclGetErrorString(result)));
  return id;
}

Handle::Handle(const ncclUniqueId& id, int ranks, int rank, std::string who, const Patience& patience)
    : who_(std::move(who)), patience_(patience) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  try {
    settle(ncclCommInitRankConfig(&comm_, ranks, id, rank, &config), "ncclCommInitRankConfig", patience_.start);
  } catch (...) {
    close();  // a constructor that throws has no destructor
    throw;
  }
}

Handle::~Handle() {
  close();
}

void Handle::run(std::string_view operation, const std::function<ncclResult_t(ncclComm_t)>& enqueue) {
  check_earlier(operation);
  settle(enqueue(comm_), operation, patience_.operation);
}

void Handle::check_earlier(std::string_view operation) {
  if (const ncclResult_t earlier = state(); !is_fine(earlier)) {
    fail(operation, fmt::format("an earlier operation ended with: {}", ncclGetErrorString(earlier)));
  }
}

void Handle::fail(std::string_view operation, std::string_view reason) {
  failed_ = true;
  throw NcclError(message(operation, who_, reason));
}

// Success, an error, or that a call is still being worked on. NCCL starts and launches in threads of its own; one of
// them may set comm_, so until it is there the start is under way.
ncclResult_t Handle::state() noexcept {
  ncclComm_t comm = std::atomic_ref(comm_).load();
  if (comm == nullptr) return ncclInProgress;
  ncclResult_t result = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm, &result);
  return asked == ncclSuccess ? result : asked;
}

// The state once nothing is being worked on any more, or after `seconds`. Pauses grow from nothing, as most operations
// are on their stream within microseconds, to a millisecond, which leaves the core to others.
ncclResult_t Handle::wait(double seconds) noexcept {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  auto pause = std::chrono::microseconds(0);
  ncclResult_t result = state();
  for (int i = 0; result == ncclInProgress && Clock::now() < end; ++i) {
    if (i < 200) {
      std::this_thread::yield();
    } else {
      pause = std::min(pause + std::chrono::microseconds(10), std::chrono::microseconds(1000));
      std::this_thread::sleep_for(pause);
    }
    result = state();
  }
  return result;
}

void Handle::settle(ncclResult_t result, std::string_view operation, double seconds) {
  if (is_fine(result)) result = wait(seconds);
  if (result == ncclSuccess) return;
  if (result != ncclInProgress) fail(operation, ncclGetErrorString(result));
  fail(operation, fmt::format("the other ranks did not come along within {:.0f} s", seconds));
}

void Handle::close() noexcept {
  if (comm_ == nullptr) return;
  ncclComm_t comm = comm_;
  bool in_order = !failed_ && std::uncaught_exceptions() == 0;
  if (in_order) in_order = is_fine(ncclCommFinalize(comm)) && wait(patience_.end) == ncclSuccess;
  const ncclResult_t result = in_order ? ncclCommDestroy(comm) : ncclCommAbort(comm);
  comm_ = nullptr;
  if (is_fine(result)) return;
  try {
    spdlog::warn("{} failed on {}: {}", in_order ? "ncclCommDestroy" : "ncclCommAbort", who_,
                 ncclGetErrorString(result));
  } catch (...) {  // no memory for a message: there is nothing to be done about it here
  }
}

}  // namespace chorale::nccl
