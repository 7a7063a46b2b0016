// Where frozen weights lie: in this process's own memory, or once for all processes of a machine.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/base/shared_memory.hpp"
#include "core/kernels/late_tensor.hpp"

namespace chorale {

/// Memory that processes of a machine lay the same weights in, and this process among them.
struct SharedWeights {
  SharedMemory memory;
  std::int64_t process = 0;
  std::int64_t processes = 1;
};

/// Gives frozen weights of the CPU their room. Shared, every process asks for the same tensors in the same order; each
/// is written by one process alone, whichever has written least so far, so that the work of reading a base is shared
/// too. Nobody may look into tensors before all processes are through with making them: the caller sees to that.
class WeightMemory {
 public:
  /// Memory of this process's own, for weights that come and go.
  WeightMemory() = default;
  /// For weights that stay. shared: null for this process's own memory. What is made from one must not be made from it
  /// again.
  explicit WeightMemory(std::shared_ptr<const SharedWeights> shared);

  /// A tensor into which fill(tensor) writes everything; it is called here, or in another process. Throws what `fill`
  /// throws, std::bad_alloc.
  [[nodiscard]] at::Tensor filled(const std::vector<std::int64_t>& sizes, at::ScalarType type,
                                  const std::function<void(at::Tensor&)>& fill);
  /// A tensor that takes room when it is first wanted, by whichever process wants it.
  [[nodiscard]] LateTensor late(const std::vector<std::int64_t>& sizes, at::ScalarType type);

 private:
  [[nodiscard]] at::Tensor shared_bytes(std::int64_t bytes);

  bool lasting_ = false;
  std::shared_ptr<const SharedWeights> shared_;
  std::uint64_t end_ = 0;              // of what has been handed out
  std::vector<std::int64_t> written_;  // [processes] bytes
};

/// A weight that is read where, and only where, it is laid out.
struct WeightSource {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  /// [rows, columns] on the CPU, in memory that may be used again by the next call of any source.
  std::function<at::Tensor()> read;
};

}  // namespace chorale
