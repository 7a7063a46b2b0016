// Inside this folder: the owner of an NCCL communicator, and how what NCCL returns becomes an exception.
#pragma once

#include <nccl.h>

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <limits>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include "core/base/errors.hpp"
#include "distributed/nccl_api.hpp"
#include "distributed/watched.hpp"

namespace chorale::nccl {

/// NCCL refused a call, or another rank or the network failed.
class NcclError : public Error {
 public:
  explicit NcclError(const std::string& message) : Error(ExitCode::internal, message) {}
};

/// How long NCCL may take, in seconds, before it is given up, and how much it is given at once.
struct Patience {
  double start = 120.0;
  /// Until an operation is on its stream, which for the first ones means until all ranks have come to it. No limit of
  /// its own: the watchdog (watchdog.hpp) knows how long ranks may wait, and for whom they do.
  double operation = std::numeric_limits<double>::infinity();
  double end = 30.0;
  /// True once nobody is to wait any longer.
  bool (*given_up)() = watch::given_up;
  /// Bytes of one operation at most; longer ones follow each other in pieces, on all ranks alike. Far below what a
  /// 32-bit count of elements or bytes can hold, wherever in a transport there may be one.
  std::size_t piece = std::size_t{1} << 30;
};

/// A new id for a communicator: made on one rank, known to all of its ranks. NcclError.
[[nodiscard]] ncclUniqueId unique_id(std::string_view who, Api& api = library());

/// Sole owner of a communicator on the GPU that is current when it is made. Non-blocking: no call into NCCL waits for
/// another rank, so a rank that fails can always say so and leave. A thread of its own asks several times a second for
/// asynchronous errors, and aborts the communicator when there is one or when the watchdog has given up: then what this
/// process has left to the GPU ends, and with it whatever waits for the GPU.
class Handle {
 public:
  /// Collective over the `ranks` ranks that have `id`. `who` names this process in messages. NcclError.
  Handle(const ncclUniqueId& id, int ranks, int rank, std::string who, const Patience& patience = {},
         Api& api = library());
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  /// In order (all ranks take part) when all went well; torn down without the others after an error, while an
  /// exception is on its way, or when they do not come along.
  ~Handle();

  /// Puts the sum of `count` elements over the ranks, in place, on `stream`, and returns when it is there. Errors of
  /// earlier operations are looked for first. NcclError.
  void all_reduce_sum(void* data, std::size_t count, ncclDataType_t type, cudaStream_t stream);
  /// The same with rank `root`'s bytes.
  void broadcast(void* data, std::size_t bytes, int root, cudaStream_t stream);
  /// Throws what went wrong with operations that are already on their stream.
  void check_earlier(std::string_view operation);
  /// Gives up on `operation` because `reason`: the communicator is aborted. Throws NcclError.
  [[noreturn]] void fail(std::string_view operation, std::string_view reason);

 private:
  using Call = std::function<ncclResult_t(ncclComm_t)>;
  void run(std::string_view operation, const Call& enqueue);
  [[nodiscard]] ncclResult_t state() noexcept;
  [[nodiscard]] ncclResult_t wait(double seconds) noexcept;
  void settle(ncclResult_t result, std::string_view operation, double seconds);
  void look_after(const std::stop_token& stop);
  void abort_because(const std::string& reason) noexcept;
  void close() noexcept;

  Api& api_;
  ncclComm_t comm_ = nullptr;
  std::string who_;
  Patience patience_;
  std::mutex mutex_;     // no two threads call NCCL for this communicator at a time
  std::string failure_;  // why there is no communicator any more
  std::condition_variable_any wake_;
  std::jthread looker_;  // last: it uses all others
};

}  // namespace chorale::nccl
