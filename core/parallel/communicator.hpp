// How the ranks that share a group's members talk, seen from code that does not know how many there are.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace chorale {

/// The ranks of one group. Every method is collective: all ranks of the group call it, in the same order.
class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  [[nodiscard]] virtual std::int64_t rank() const = 0;
  [[nodiscard]] virtual std::int64_t size() const = 0;
  /// Replaces `tensor` (contiguous) by its sum over the ranks; the same bits on every rank.
  virtual void all_reduce_sum(at::Tensor& tensor) = 0;
};

/// A group of one process: nothing to exchange. Lets everything in core run, and be tested, without MPI.
class SoloCommunicator : public Communicator {
 public:
  [[nodiscard]] std::int64_t rank() const override { return 0; }
  [[nodiscard]] std::int64_t size() const override { return 1; }
  void all_reduce_sum(at::Tensor& /*tensor*/) override {}
};

}  // namespace chorale
