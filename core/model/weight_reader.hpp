// From a base's files to tensors on a device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/kernels/weight_memory.hpp"
#include "core/model/staging.hpp"
#include "core/weights/base_files.hpp"

namespace chorale {

/// Reads tensors once each, at the speed of the files where it can: what is stored in the wanted type is copied from
/// the mapped file, everything else decoded a few rows at a time (to float32, then rounded to the type), by all
/// threads. A GPU gets them through a ring of pinned buffers, so that copying to it goes on while the next rows are
/// made ready. A tensor's pages are given back to the kernel when it is read.
class WeightReader {
 public:
  /// files must outlive this.
  WeightReader(const BaseFiles& files, at::Device device);
  /// The same into `memory` on the CPU, which must outlive this too.
  WeightReader(const BaseFiles& files, at::Device device, WeightMemory& memory);
  /// The same through the given ring, on any device.
  WeightReader(const BaseFiles& files, at::Device device, StagingRing ring);

  /// The tensors, which have the same number of columns, one below the other: [rows, columns], or [rows] of vectors, of
  /// `type` (float32, bfloat16 or float64) on the device. InputError when one is absent.
  [[nodiscard]] at::Tensor read(const std::vector<std::string>& names, at::ScalarType type);
  /// The same on the CPU, in memory that the next call uses again: for weights that are copied into another form.
  [[nodiscard]] at::Tensor borrow(const std::vector<std::string>& names, at::ScalarType type);
  /// What borrow() would give, read when it is asked for; this must live until then.
  [[nodiscard]] WeightSource source(const std::vector<std::string>& names, at::ScalarType type);

 private:
  [[nodiscard]] at::Tensor room(std::int64_t bytes);
  void release(const std::vector<std::string>& names) const;

  const BaseFiles& files_;
  at::Device device_;
  StagingRing ring_;
  bool staged_;
  WeightMemory* memory_ = nullptr;  // null: memory of this process's own
  at::Tensor room_;                 // bytes
};

}  // namespace chorale
