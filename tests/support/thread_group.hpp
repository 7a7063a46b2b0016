// Ranks of a group as threads of one process, so that what core does with a group can be tested without MPI.
#pragma once

#include <ATen/ATen.h>

#include <barrier>
#include <cstring>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "core/parallel/communicator.hpp"

namespace chorale::test {

class ThreadGroup {
 public:
  /// Runs `part` once per rank, each in a thread, and rethrows the first rank's exception. A rank must not leave a
  /// collective operation that others take part in.
  static void run(std::int64_t ranks, const std::function<void(Communicator&)>& part) {
    ThreadGroup group(ranks);
    std::vector<std::exception_ptr> failures(static_cast<std::size_t>(ranks));
    std::vector<std::thread> threads;
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        try {
          Member communicator(group, rank);
          part(communicator);
        } catch (...) {
          failures[static_cast<std::size_t>(rank)] = std::current_exception();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& failure : failures) {
      if (failure) std::rethrow_exception(failure);
    }
  }

 private:
  class Member : public Communicator {
   public:
    Member(ThreadGroup& group, std::int64_t rank) : group_(group), rank_(rank) {}
    [[nodiscard]] std::int64_t rank() const override { return rank_; }
    [[nodiscard]] std::int64_t size() const override { return static_cast<std::int64_t>(group_.tensors_.size()); }

    void all_reduce_sum(at::Tensor& tensor) override {
      count_reduced(tensor);
      exchange(tensor);
      at::Tensor sum = at::zeros_like(tensor);
      for (const at::Tensor& part : group_.tensors_) sum.add_(part);
      group_.barrier_.arrive_and_wait();
      tensor.copy_(sum);
      group_.barrier_.arrive_and_wait();
    }
    void broadcast(at::Tensor& tensor, std::int64_t root) override {
      exchange(tensor);
      if (rank_ != root) tensor.copy_(group_.tensors_[static_cast<std::size_t>(root)]);
      group_.barrier_.arrive_and_wait();
    }
    [[nodiscard]] std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> bytes) override {
      group_.bytes_[static_cast<std::size_t>(rank_)].assign(bytes.begin(), bytes.end());
      group_.barrier_.arrive_and_wait();
      auto all = group_.bytes_;
      group_.barrier_.arrive_and_wait();
      return all;
    }

   private:
    void exchange(const at::Tensor& tensor) {
      group_.tensors_[static_cast<std::size_t>(rank_)] = tensor;
      group_.barrier_.arrive_and_wait();
    }
    ThreadGroup& group_;
    std::int64_t rank_;
  };

  explicit ThreadGroup(std::int64_t ranks)
      : barrier_(ranks), tensors_(static_cast<std::size_t>(ranks)), bytes_(static_cast<std::size_t>(ranks)) {}

  std::barrier<> barrier_;
  std::vector<at::Tensor> tensors_;
  std::vector<std::vector<std::byte>> bytes_;
};

}  // namespace chorale::test
