#include "core/model/weight_reader.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <span>
#include <utility>

#include "core/base/errors.hpp"
#include "core/kernels/parallel.hpp"

namespace chorale {
namespace {

// Decoded at a time by a thread: float32 that stays in its second-level cache on the way to another type.
constexpr std::int64_t kDecodedTogether = std::int64_t{1} << 15U;

bool is_stored_in(std::optional<StorageType> stored, at::ScalarType type) {
  return (stored == StorageType::float32 && type == at::kFloat) ||
         (stored == StorageType::bfloat16 && type == at::kBFloat16);
}

// Tensors one below the other, rows of which are written wherever they are wanted.
class Stack {
 public:
  Stack(const BaseFiles& files, const std::vector<std::string>& names, at::ScalarType type)
      : files_(files), type_(type) {
    for (const std::string& name : names) {
      const std::vector<std::int64_t> shape = files.shape(name);
      const std::int64_t columns = shape.size() > 1 ? shape[1] : 1;
      CHORALE_ASSERT(shape.size() <= 2 && (parts_.empty() || columns == columns_), "tensors of other columns: " + name);
      columns_ = columns;
      parts_.push_back({&name, rows_, shape[0], is_stored_in(files.stored_as(name), type)});
      rows_ += shape[0];
      vectors_ = shape.size() == 1;
    }
  }

  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t columns() const { return columns_; }
  [[nodiscard]] std::int64_t row_bytes() const { return columns_ * static_cast<std::int64_t>(c10::elementSize(type_)); }
  [[nodiscard]] std::vector<std::int64_t> shape() const {
    return vectors_ ? std::vector<std::int64_t>{rows_} : std::vector<std::int64_t>{rows_, columns_};
  }

  // Rows [first, first + count) to `out`, by all threads.
  void write(std::int64_t first, std::int64_t count, std::byte* out) const {
    for_rows(count, columns_, [&](std::int64_t begin, std::int64_t end) {
      for (const Part& part : parts_) {
        const std::int64_t from = std::max(first + begin, part.first);
        const std::int64_t to = std::min(first + end, part.first + part.rows);
        if (from < to) write(part, from - part.first, to - from, out + (from - first) * row_bytes());
      }
    });
  }

 private:
  struct Part {
    const std::string* name;
    std::int64_t first;  // row of the stack
    std::int64_t rows;
    bool as_it_is;  // stored in the wanted type
  };

  void write(const Part& part, std::int64_t first, std::int64_t count, std::byte* out) const {
    if (part.as_it_is) {
      files_.copy_rows(*part.name, first, count, {out, static_cast<std::size_t>(count * row_bytes())});
      return;
    }
    if (type_ == at::kFloat) {
      auto* numbers = reinterpret_cast<float*>(out);
      files_.read_rows(*part.name, first, count, {numbers, static_cast<std::size_t>(count * columns_)});
      return;
    }
    const std::int64_t together = std::min(count, std::max<std::int64_t>(1, kDecodedTogether / columns_));
    std::vector<float> decoded(static_cast<std::size_t>(together * columns_));
    for (std::int64_t row = 0; row < count; row += together) {
      const std::int64_t numbers = std::min(together, count - row) * columns_;
      files_.read_rows(*part.name, first + row, numbers / columns_,
                       std::span(decoded).first(static_cast<std::size_t>(numbers)));
      at::from_blob(out + row * row_bytes(), {numbers}, at::TensorOptions().dtype(type_))
          .copy_(at::from_blob(decoded.data(), {numbers}, at::TensorOptions().dtype(at::kFloat)));
    }
  }

  const BaseFiles& files_;
  at::ScalarType type_;
  std::vector<Part> parts_;
  std::int64_t rows_ = 0;
  std::int64_t columns_ = 1;
  bool vectors_ = false;
};

}  // namespace

WeightReader::WeightReader(const BaseFiles& files, at::Device device)
    : files_(files), device_(device), ring_(device), staged_(!device.is_cpu()) {}

WeightReader::WeightReader(const BaseFiles& files, at::Device device, StagingRing ring)
    : files_(files), device_(device), ring_(std::move(ring)), staged_(true) {}

WeightReader::WeightReader(const BaseFiles& files, at::Device device, WeightMemory& memory)
    : WeightReader(files, device) {
  memory_ = &memory;
}

at::Tensor WeightReader::read(const std::vector<std::string>& names, at::ScalarType type) {
  const Stack stack(files_, names, type);
  if (!staged_) {
    WeightMemory own;
    WeightMemory& memory = memory_ != nullptr ? *memory_ : own;
    return memory.filled(stack.shape(), type, [&](const at::Tensor& room) {
      stack.write(0, stack.rows(), static_cast<std::byte*>(room.mutable_data_ptr()));
      release(names);
    });
  }
  at::Tensor result = at::empty(stack.shape(), at::TensorOptions().dtype(type).device(device_));
  const std::int64_t row_bytes = stack.row_bytes();
  const std::int64_t together = std::max<std::int64_t>(1, ring_.bytes() / std::max<std::int64_t>(1, row_bytes));
  for (std::int64_t row = 0; row < stack.rows(); row += together) {
    const std::int64_t count = std::min(together, stack.rows() - row);
    const at::Tensor buffer = ring_.next(count * row_bytes);
    stack.write(row, count, static_cast<std::byte*>(buffer.mutable_data_ptr()));
    const at::Tensor target = result.narrow(0, row, count);
    ring_.send(buffer.narrow(0, 0, count * row_bytes).view(type).view(target.sizes()), target);
  }
  release(names);
  return result;
}

at::Tensor WeightReader::borrow(const std::vector<std::string>& names, at::ScalarType type) {
  const Stack stack(files_, names, type);
  at::Tensor result = room(stack.rows() * stack.row_bytes()).view(type).view(stack.shape());
  stack.write(0, stack.rows(), static_cast<std::byte*>(result.mutable_data_ptr()));
  release(names);
  return result;
}

WeightSource WeightReader::source(const std::vector<std::string>& names, at::ScalarType type) {
  const Stack stack(files_, names, type);
  return {stack.rows(), stack.columns(), [this, names, type] { return borrow(names, type); }};
}

void WeightReader::release(const std::vector<std::string>& names) const {
  for (const std::string& name : names) files_.release(name);
}

at::Tensor WeightReader::room(std::int64_t bytes) {
  if (!room_.defined() || room_.numel() < bytes) {
    room_ = at::Tensor();  // the old one first: they need not stand side by side
    room_ = at::empty({bytes}, at::kByte);
  }
  return room_.narrow(0, 0, bytes);
}

}  // namespace chorale
