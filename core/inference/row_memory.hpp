// Memory for hidden states that are kept: on the device, beside it, or in a file.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace chorale {

/// Where rows lie. The file has no name once it is there, so it is gone when the process is, however that ends; what
/// of it is in memory is the kernel's to decide.
enum class RowPlace { device, host, file };

/// How many bytes may be kept, and where.
struct RowBudget {
  std::uint64_t bytes = 0;
  RowPlace place = RowPlace::device;
  std::string directory;  // of the file

  RowBudget() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a number of bytes is a budget, on the device
  RowBudget(std::uint64_t count) : bytes(count) {}
  RowBudget(std::uint64_t count, RowPlace where, std::string in)
      : bytes(count), place(where), directory(std::move(in)) {}
};

/// [rows, width] of `type`, not filled: on `device`; in host memory, pinned where the device is a GPU; or in a file of
/// that size in `directory`. StorageError when the file system has no room for it.
[[nodiscard]] at::Tensor allocate_rows(std::int64_t rows, std::int64_t width, at::ScalarType type, at::Device device,
                                       RowPlace place, const std::string& directory);

}  // namespace chorale
