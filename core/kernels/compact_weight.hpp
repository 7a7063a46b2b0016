// Frozen weights held in fewer bits than they are multiplied in.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>

#include "core/kernels/weight_memory.hpp"

namespace chorale {

/// How a decoder's linears lie in memory: in the type of their products, or in eight or four bits.
enum class LinearFormat { plain, float8, nf4 };

/// Room for one decoded weight at a time, shared by all linears of a decoder. On the CPU it is kept, as large as the
/// largest weight so far, for fresh pages cost more than the decoding; one product has it at a time. Elsewhere torch's
/// allocator gives the same room again by itself.
class WeightScratch {
 public:
  /// body(tensor): a tensor [rows, columns] of `type` with anything in it, which must not be used afterwards.
  template <typename Body>
  at::Tensor lend(std::int64_t rows, std::int64_t columns, at::ScalarType type, at::Device device, const Body& body) {
    if (!device.is_cpu()) return body(fresh(rows, columns, type, device));
    const std::lock_guard<std::mutex> lock(mutex_);
    return body(kept(rows, columns, type));
  }

 private:
  [[nodiscard]] static at::Tensor fresh(std::int64_t rows, std::int64_t columns, at::ScalarType type,
                                        at::Device device);
  [[nodiscard]] at::Tensor kept(std::int64_t rows, std::int64_t columns, at::ScalarType type);

  std::mutex mutex_;
  at::Tensor memory_;  // bytes
};
using WeightScratchPtr = std::shared_ptr<WeightScratch>;

/// Where and in which type a compact weight is multiplied.
struct CompactOptions {
  at::ScalarType type = at::kFloat;
  at::Device device = at::kCPU;
  WeightScratchPtr scratch;
};

/// A frozen matrix W [out, in]. Unless a kind knows better, it is decoded once for a product, whatever the number of
/// members and rows: once in the forward pass and once more in the backward pass.
class CompactWeight {
 public:
  CompactWeight(const CompactWeight&) = delete;
  CompactWeight& operator=(const CompactWeight&) = delete;
  virtual ~CompactWeight() = default;

  /// x [rows, in] -> x W^T (+ bias) [rows, out].
  [[nodiscard]] virtual at::Tensor product(const at::Tensor& x, const at::Tensor& bias) const;
  /// dy [rows, out] -> dy W [rows, in].
  [[nodiscard]] virtual at::Tensor input_gradient(const at::Tensor& dy) const;
  /// W itself, in the products' type.
  [[nodiscard]] at::Tensor decoded() const;
  /// What is held, in bytes.
  [[nodiscard]] virtual std::uint64_t bytes() const = 0;

 protected:
  CompactWeight(std::int64_t rows, std::int64_t columns, CompactOptions options);

  /// out: [rows, columns], contiguous, of the products' type and device.
  virtual void decode(at::Tensor& out) const = 0;

  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t columns() const { return columns_; }
  [[nodiscard]] const CompactOptions& options() const { return options_; }

 private:
  std::int64_t rows_, columns_;
  CompactOptions options_;
};
using CompactWeightPtr = std::shared_ptr<const CompactWeight>;

/// Encodes `weight` [out, in], float32 on the CPU, where it is encoded whatever the device. format: not plain.
[[nodiscard]] CompactWeightPtr make_compact_weight(LinearFormat format, const at::Tensor& weight,
                                                   const CompactOptions& options);
/// The same in `memory`, unless it is for another device.
[[nodiscard]] CompactWeightPtr make_compact_weight(LinearFormat format, const WeightSource& weight,
                                                   const CompactOptions& options, WeightMemory& memory);

/// A compact weight's arrays.
struct CompactArrays {
  at::Tensor scales;  // [rows, scale_columns] float32
  at::Tensor codes;   // [rows, code_columns] of one byte each
};

/// encode(weight, arrays) fills them, here or in another process; they end up on options.device.
[[nodiscard]] CompactArrays compact_arrays(
    const WeightSource& weight, std::int64_t scale_columns, std::int64_t code_columns, at::ScalarType code_type,
    const CompactOptions& options, WeightMemory& memory,
    const std::function<void(const at::Tensor& weight, const CompactArrays& arrays)>& encode);

/// Bytes that a row of `columns` weights takes in a format that is not plain, its scales included.
[[nodiscard]] std::uint64_t compact_row_bytes(LinearFormat format, std::int64_t columns);

}  // namespace chorale
