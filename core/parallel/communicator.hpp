// How the ranks that share a group's members talk, seen from code that does not know how many there are.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace chorale {

/// The ranks of one group. Every method but rank() and size() is collective: all ranks of the group call it, in the
/// same order, with arguments of the same shape and type. What cannot be exchanged is an exception on the rank that
/// notices; the others then wait until the launcher ends them.
class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  [[nodiscard]] virtual std::int64_t rank() const = 0;
  [[nodiscard]] virtual std::int64_t size() const = 0;
  /// Replaces `tensor` (contiguous, float32 or float64, on the group's device or the CPU) by its sum over the ranks;
  /// the same bits on every rank.
  virtual void all_reduce_sum(at::Tensor& tensor) = 0;
  /// Replaces `tensor` (contiguous, any type) by that of rank `root`.
  virtual void broadcast(at::Tensor& tensor, std::int64_t root) = 0;
  /// Every rank's bytes, by rank, on every rank. Lengths may differ. Host memory only.
  [[nodiscard]] virtual std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> bytes) = 0;

  /// Throws when a sum that all_reduce_sum left to a GPU has failed meanwhile. To be called when its result has been
  /// waited for and before it is used: what a failed one leaves is no sum. Of this rank alone.
  virtual void confirm() {}

  /// Bytes given to all_reduce_sum so far: what a training step costs the network, for tests and reports.
  [[nodiscard]] std::uint64_t reduced_bytes() const { return reduced_bytes_; }
  /// Seconds this rank has spent in all_reduce_sum so far, from when what it gives was ready: the rank that the others
  /// wait for has spent least.
  [[nodiscard]] double summing_seconds() const { return summing_seconds_; }

 protected:
  void count_summing(double seconds) { summing_seconds_ += seconds; }
  void count_reduced(const at::Tensor& tensor) { reduced_bytes_ += static_cast<std::uint64_t>(tensor.nbytes()); }

 private:
  std::uint64_t reduced_bytes_ = 0;
  double summing_seconds_ = 0.0;
};

/// A group of one process: nothing to exchange. Lets everything in core run, and be tested, without MPI.
class SoloCommunicator : public Communicator {
 public:
  [[nodiscard]] std::int64_t rank() const override { return 0; }
  [[nodiscard]] std::int64_t size() const override { return 1; }
  void all_reduce_sum(at::Tensor& tensor) override { count_reduced(tensor); }
  void broadcast(at::Tensor& /*tensor*/, std::int64_t /*root*/) override {}
  [[nodiscard]] std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> bytes) override {
    return {{bytes.begin(), bytes.end()}};
  }
};

}  // namespace chorale
