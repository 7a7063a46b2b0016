// Inside this folder: the owner of an NCCL communicator, and how what NCCL returns becomes an exception.
#pragma once

#include <nccl.h>

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/errors.hpp"

namespace chorale::nccl {

/// NCCL refused a call, or another rank or the network failed.
class NcclError : public Error {
 public:
  explicit NcclError(const std::string& message) : Error(ExitCode::internal, message) {}
};

/// How long NCCL may take, in seconds, before it is given up. An operation waits here only until it is on its stream,
/// which for the first ones means until all ranks have come to it.
struct Patience {
  double start = 120.0;
  double operation = 600.0;
  double end = 30.0;
};

/// A new id for a communicator: made on one rank, known to all of its ranks. NcclError.
[[nodiscard]] ncclUniqueId unique_id(std::string_view who);

/// Sole owner of a communicator on the GPU that is current when it is made. Non-blocking: no call into NCCL waits for
/// another rank, so a rank that fails can always say so and leave.
class Handle {
 public:
  /// Collective over the `ranks` ranks that have `id`. `who` names this process in messages. NcclError.
  Handle(const ncclUniqueId& id, int ranks, int rank, std::string who, const Patience& patience = {});
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  /// In order (all ranks take part) when all went well; torn down without the others after an error, while an
  /// exception is on its way, or when they do not come along.
  ~Handle();

  /// Calls `enqueue`, which puts an operation called `operation` on a stream, and returns when it is there. Errors of
  /// earlier operations are looked for first. NcclError.
  void run(std::string_view operation, const std::function<ncclResult_t(ncclComm_t)>& enqueue);
  /// Throws what went wrong with operations that are already on their stream.
  void check_earlier(std::string_view operation);
  /// Gives up on `operation` because `reason`. Throws NcclError.
  [[noreturn]] void fail(std::string_view operation, std::string_view reason);

 private:
  [[nodiscard]] ncclResult_t state() noexcept;
  [[nodiscard]] ncclResult_t wait(double seconds) noexcept;
  void settle(ncclResult_t result, std::string_view operation, double seconds);
  void close() noexcept;

  ncclComm_t comm_ = nullptr;
  std::string who_;
  Patience patience_;
  bool failed_ = false;
};

}  // namespace chorale::nccl
