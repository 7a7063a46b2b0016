#include "core/kernels/late_tensor.hpp"

#include <ATen/Parallel.h>

#include <atomic>
#include <chrono>
#include <new>
#include <thread>
#include <utility>

#include "core/kernels/tensor_memory.hpp"

namespace chorale {
namespace {

// At the beginning of shared memory that was all zeros.
struct Progress {
  std::atomic<std::int64_t> begun;
  std::atomic<std::int64_t> done;
};
static_assert(sizeof(Progress) <= LateTensor::kHeader, "room for the header");
static_assert(std::atomic<std::int64_t>::is_always_lock_free, "the header is shared by processes");

}  // namespace

LateTensor::LateTensor(std::vector<std::int64_t> sizes, at::ScalarType type, bool lasting)
    : sizes_(std::move(sizes)), type_(type), lasting_(lasting) {}

LateTensor::LateTensor(std::vector<std::int64_t> sizes, at::ScalarType type, at::Tensor shared)
    : sizes_(std::move(sizes)), type_(type), lasting_(true), shared_(std::move(shared)) {}

const at::Tensor& LateTensor::get(std::int64_t pieces, const std::function<void(const at::Tensor&, std::int64_t)>& fill,
                                  double patience) {
  if (made_.defined()) return made_;
  if (shared_.defined()) {
    const at::Tensor values = shared_.narrow(0, kHeader, shared_.numel() - kHeader).view(type_).view(sizes_);
    if (make_together(pieces, values, fill, patience)) return made_ = values;
  }
  const at::Tensor values = own_memory(sizes_, type_, lasting_);
  at::parallel_for(0, pieces, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece) fill(values, piece);
  });
  return made_ = values;
}

bool LateTensor::make_together(std::int64_t pieces, const at::Tensor& values,
                               const std::function<void(const at::Tensor&, std::int64_t)>& fill, double patience) {
  auto& progress = *std::launder(reinterpret_cast<Progress*>(shared_.mutable_data_ptr()));
  // Every thread takes whatever piece is next, so that it does not matter how many there are and who comes late.
  at::parallel_for(0, pieces, 1, [&](std::int64_t /*begin*/, std::int64_t /*end*/) {
    for (std::int64_t piece = progress.begun.fetch_add(1); piece < pieces; piece = progress.begun.fetch_add(1)) {
      fill(values, piece);
      progress.done.fetch_add(1, std::memory_order_release);
    }
  });
  // Others may still be at their last pieces.
  using Clock = std::chrono::steady_clock;
  Clock::time_point since = Clock::now();
  std::int64_t before = -1;
  for (;;) {
    const std::int64_t done = progress.done.load(std::memory_order_acquire);
    if (done >= pieces) return true;
    if (done != before) since = Clock::now();
    before = done;
    if (std::chrono::duration<double>(Clock::now() - since).count() > patience) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

}  // namespace chorale
