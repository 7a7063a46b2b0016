// A tensor that is made at its first use.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace chorale {

/// Made in pieces by all threads of whichever processes want it at that time; with memory of its own, of this process.
/// One thread of a process at a time may use it.
class LateTensor {
 public:
  /// Bytes before the values in shared memory: who makes what, and how much is done.
  static constexpr std::int64_t kHeader = 64;

  LateTensor() = default;
  /// In memory of this process's own, taken when it is wanted. lasting: see tensor_memory.hpp.
  LateTensor(std::vector<std::int64_t> sizes, at::ScalarType type, bool lasting);
  /// In `shared` (bytes, zeros at first): a header and the values.
  LateTensor(std::vector<std::int64_t> sizes, at::ScalarType type, at::Tensor shared);

  /// The tensor, contiguous. fill(tensor, piece) writes one of `pieces` parts, which may be written at the same time;
  /// all uses say the same. When another process that has begun a piece gets nothing done for `patience` seconds (it is
  /// stopped, or gone), the tensor is made once more, in this process's own memory.
  [[nodiscard]] const at::Tensor& get(std::int64_t pieces,
                                      const std::function<void(const at::Tensor&, std::int64_t)>& fill,
                                      double patience = 20.0);

 private:
  [[nodiscard]] bool make_together(std::int64_t pieces, const at::Tensor& values,
                                   const std::function<void(const at::Tensor&, std::int64_t)>& fill, double patience);

  std::vector<std::int64_t> sizes_;
  at::ScalarType type_ = at::kFloat;
  bool lasting_ = false;
  at::Tensor shared_;  // undefined: none
  at::Tensor made_;
};

}  // namespace chorale
