// Small host arrays on their way to a device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace chorale {

/// Collects the index arrays of a batch and sends them (core/kernels/sent.hpp) in one copy, which nobody waits for.
class Upload {
 public:
  explicit Upload(at::Device device) : device_(device) {}

  /// `target` is set by send() to a tensor of shape [values]; it must outlive that call.
  void add(at::Tensor& target, const std::vector<std::int64_t>& values);
  /// Likewise, rounded to `type` (float32 or float64).
  void add(at::Tensor& target, const std::vector<double>& values, at::ScalarType type);
  /// Likewise, as booleans.
  void add_flags(at::Tensor& target, const std::vector<std::uint8_t>& values);

  void send();

 private:
  struct Item {
    at::Tensor* target;
    std::size_t offset;
    std::size_t bytes;
    at::ScalarType type;
  };
  void append(at::Tensor& target, const void* data, std::size_t bytes, at::ScalarType type);

  at::Device device_;
  std::vector<std::byte> bytes_;
  std::vector<Item> items_;
};

}  // namespace chorale
