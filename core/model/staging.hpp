// Host memory that large arrays pass through on their way to a GPU.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace chorale {

/// A few buffers used in turn. A buffer is filled by the host, copied to the device by a copy that nobody waits for,
/// and handed out again when that copy is over. Pinned and guarded by events for a GPU, plain memory elsewhere.
class StagingRing {
 public:
  static constexpr std::int64_t kBuffers = 4;
  static constexpr std::int64_t kBytes = std::int64_t{16} << 20U;

  /// Allocates nothing yet. bytes: of one buffer.
  explicit StagingRing(at::Device device, std::int64_t bytes = kBytes, std::int64_t buffers = kBuffers);

  [[nodiscard]] std::int64_t bytes() const { return bytes_; }
  /// The next buffer, [bytes] or more where `least` is more. Waits until its last copy is over.
  [[nodiscard]] at::Tensor next(std::int64_t least);
  /// Queues a copy of `part`, a view of the buffer that next() gave last, into `target` on the current stream.
  void send(const at::Tensor& part, const at::Tensor& target);

 private:
  struct Buffer {
    at::Tensor memory;
    std::optional<c10::Event> copied;
  };
  at::Device device_;
  std::int64_t bytes_;
  std::vector<Buffer> buffers_;
  std::size_t current_ = 0;
};

}  // namespace chorale
