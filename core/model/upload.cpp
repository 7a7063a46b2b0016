#include "core/model/upload.hpp"

#include <ATen/ops/empty.h>

#include <cstring>

#include "core/base/errors.hpp"
#include "core/kernels/sent.hpp"

namespace chorale {
namespace {

// Every array begins where any element type may.
constexpr std::size_t kAlignment = 16;

}  // namespace

void Upload::append(at::Tensor& target, const void* data, std::size_t bytes, at::ScalarType type) {
  const std::size_t offset = bytes_.size();
  bytes_.resize(offset + (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (bytes > 0) std::memcpy(bytes_.data() + offset, data, bytes);
  items_.push_back({&target, offset, bytes, type});
}

void Upload::add(at::Tensor& target, const std::vector<std::int64_t>& values) {
  append(target, values.data(), values.size() * sizeof(std::int64_t), at::kLong);
}

void Upload::add(at::Tensor& target, const std::vector<double>& values, at::ScalarType type) {
  CHORALE_ASSERT(type == at::kFloat || type == at::kDouble, "numbers are uploaded as float32 or float64");
  if (type == at::kDouble) {
    append(target, values.data(), values.size() * sizeof(double), type);
    return;
  }
  const std::vector<float> rounded(values.begin(), values.end());
  append(target, rounded.data(), rounded.size() * sizeof(float), type);
}

void Upload::add_flags(at::Tensor& target, const std::vector<std::uint8_t>& values) {
  append(target, values.data(), values.size(), at::kBool);
}

void Upload::send() {
  const auto size = static_cast<std::int64_t>(bytes_.size());
  at::Tensor all = at::empty({size}, at::kByte);
  if (size > 0) std::memcpy(all.mutable_data_ptr(), bytes_.data(), bytes_.size());
  all = sent(all, device_);
  for (const Item& item : items_) {
    *item.target =
        all.narrow(0, static_cast<std::int64_t>(item.offset), static_cast<std::int64_t>(item.bytes)).view(item.type);
  }
  items_.clear();
  bytes_.clear();
}

}  // namespace chorale
