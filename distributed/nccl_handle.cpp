#include "distributed/nccl_handle.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <utility>

#include "distributed/blocked_signals.hpp"

namespace chorale::nccl {
namespace {

constexpr auto kBetweenLooks = std::chrono::milliseconds(100);

std::string message(std::string_view operation, std::string_view who, std::string_view reason, Api& api) {
  const char* last = api.last_error();
  const std::string detail = last == nullptr || *last == '\0' ? "" : fmt::format(" ({})", last);
  return fmt::format(
      "{} failed on {}: {}{}. Another rank's message may tell more; NCCL_DEBUG=WARN makes NCCL explain itself, and "
      "distributed.backend=mpi does without it.",
      operation, who, reason, detail);
}

bool is_fine(ncclResult_t result) {
  return result == ncclSuccess || result == ncclInProgress;
}

std::size_t width_of(ncclDataType_t type) {
  CHORALE_ASSERT(type == ncclFloat32 || type == ncclFloat64, "a sum of other numbers than float32 and float64");
  return type == ncclFloat32 ? 4 : 8;
}

}  // namespace

ncclUniqueId unique_id(std::string_view who, Api& api) {
  ncclUniqueId id{};
  const ncclResult_t result = api.get_unique_id(&id);
  if (result != ncclSuccess) throw NcclError(message("ncclGetUniqueId", who, api.error_string(result), api));
  return id;
}

Handle::Handle(const ncclUniqueId& id, int ranks, int rank, std::string who, const Patience& patience, Api& api)
    : api_(api), who_(std::move(who)), patience_(patience) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  try {
    settle(api_.init_rank(&comm_, ranks, id, rank, &config), "ncclCommInitRankConfig", patience_.start);
    const BlockedSignals blocked;  // they are for the thread that computes; a new thread inherits this
    looker_ = std::jthread([this](const std::stop_token& stop) { look_after(stop); });
  } catch (...) {
    close();  // a constructor that throws has no destructor
    throw;
  }
}

Handle::~Handle() {
  looker_.request_stop();
  wake_.notify_all();
  if (looker_.joinable()) looker_.join();
  close();
}

void Handle::all_reduce_sum(void* data, std::size_t count, ncclDataType_t type, cudaStream_t stream) {
  const std::size_t width = width_of(type);
  const std::size_t most = std::max<std::size_t>(1, patience_.piece / width);
  for (std::size_t begin = 0; begin < count; begin += most) {
    run("ncclAllReduce", [&](ncclComm_t comm) {
      auto* piece = static_cast<std::byte*>(data) + begin * width;
      return api_.all_reduce_sum(piece, std::min(most, count - begin), type, comm, stream);
    });
  }
}

void Handle::broadcast(void* data, std::size_t bytes, int root, cudaStream_t stream) {
  for (std::size_t begin = 0; begin < bytes; begin += patience_.piece) {
    run("ncclBroadcast", [&](ncclComm_t comm) {
      auto* piece = static_cast<std::byte*>(data) + begin;
      return api_.broadcast(piece, std::min(patience_.piece, bytes - begin), root, comm, stream);
    });
  }
}

void Handle::run(std::string_view operation, const Call& enqueue) {
  check_earlier(operation);
  ncclResult_t result = ncclInternalError;
  {
    const std::lock_guard lock(mutex_);
    if (failure_.empty()) result = enqueue(comm_);
  }
  settle(result, operation, patience_.operation);
}

void Handle::check_earlier(std::string_view operation) {
  if (const ncclResult_t earlier = state(); !is_fine(earlier)) {
    fail(operation, fmt::format("an earlier operation ended with: {}", api_.error_string(earlier)));
  }
}

void Handle::fail(std::string_view operation, std::string_view reason) {
  const std::string own(reason);
  abort_because(own);
  const std::lock_guard lock(mutex_);
  throw NcclError(message(operation, who_, failure_.empty() ? own : failure_, api_));
}

// Success, an error, or that a call is still being worked on. NCCL starts and launches in threads of its own; one of
// them may set comm_, so until it is there the start is under way.
ncclResult_t Handle::state() noexcept {
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) return ncclInternalError;
  ncclComm_t comm = std::atomic_ref(comm_).load();
  if (comm == nullptr) return ncclInProgress;
  ncclResult_t result = ncclSuccess;
  const ncclResult_t asked = api_.async_error(comm, &result);
  return asked == ncclSuccess ? result : asked;
}

// The state once nothing is being worked on any more, or after `seconds`, or once nobody is to wait any longer. Pauses
// grow from nothing, as most operations are on their stream within microseconds, to a millisecond, which leaves the
// core to others.
ncclResult_t Handle::wait(double seconds) noexcept {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  const auto in_time = [&] { return std::chrono::duration<double>(Clock::now() - begin).count() < seconds; };
  auto pause = std::chrono::microseconds(0);
  ncclResult_t result = state();
  for (int i = 0; result == ncclInProgress && in_time() && !patience_.given_up(); ++i) {
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
  if (result != ncclInProgress) fail(operation, api_.error_string(result));
  if (patience_.given_up()) {
    abort_because("the watchdog has ended the run");
    watch::end_world();  // does not come back where there is one
    fail(operation, "the watchdog has ended the run");
  }
  fail(operation, fmt::format("the other ranks did not come along within {:.0f} s", seconds));
}

void Handle::look_after(const std::stop_token& stop) {
  std::mutex asleep;
  std::unique_lock lock(asleep);
  while (!wake_.wait_for(lock, stop, kBetweenLooks, [] { return false; }) && !stop.stop_requested()) {
    const ncclResult_t result = state();
    if (!is_fine(result)) {
      abort_because(fmt::format("an earlier operation ended with: {}", api_.error_string(result)));
      return;
    }
    if (patience_.given_up()) {
      abort_because("the watchdog has ended the run");
      return;
    }
  }
}

// The first reason stays.
void Handle::abort_because(const std::string& reason) noexcept {
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) return;
  failure_ = reason;
  ncclComm_t comm = std::atomic_ref(comm_).exchange(nullptr);
  if (comm != nullptr) static_cast<void>(api_.abort(comm));
}

void Handle::close() noexcept {
  ncclComm_t comm = std::atomic_ref(comm_).load();
  if (comm == nullptr) return;
  bool in_order = std::uncaught_exceptions() == 0 && !patience_.given_up();
  if (in_order) in_order = is_fine(api_.finalize(comm)) && wait(patience_.end) == ncclSuccess;
  const ncclResult_t result = in_order ? api_.destroy(comm) : api_.abort(comm);
  comm_ = nullptr;
  if (is_fine(result)) return;
  try {
    spdlog::warn("{} failed on {}: {}", in_order ? "ncclCommDestroy" : "ncclCommAbort", who_,
                 api_.error_string(result));
  } catch (...) {  // no memory for a message: there is nothing to be done about it here
  }
}

}  // namespace chorale::nccl
