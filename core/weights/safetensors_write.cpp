// The writing half of safetensors.hpp.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/base/file_calls.hpp"
#include "core/base/printable.hpp"
#include "core/weights/decode.hpp"
#include "core/weights/encode.hpp"
#include "core/weights/safetensors.hpp"
#include "core/weights/safetensors_writer.hpp"

namespace chorale {
namespace {

std::uint64_t elements_of(const TensorEntry& tensor) {
  std::uint64_t count = 1;
  for (const std::int64_t size : tensor.shape) count *= static_cast<std::uint64_t>(size);
  return count;
}

std::string_view dtype_name(StorageType type) {
  CHORALE_ASSERT(type == StorageType::float32 || type == StorageType::float16 || type == StorageType::bfloat16,
                 "a type that is not written");
  return type == StorageType::float32 ? "F32" : type == StorageType::float16 ? "F16" : "BF16";
}

std::string header_of(const std::vector<TensorEntry>& tensors, StorageType type,
                      const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  const auto width = static_cast<std::uint64_t>(block_layout(type).bytes);
  std::uint64_t position = 0;
  for (const TensorEntry& tensor : tensors) {
    CHORALE_ASSERT(!header.contains(tensor.name), "two tensors called " + tensor.name);
    const std::uint64_t end = position + elements_of(tensor) * width;
    header[tensor.name] = {{"dtype", dtype_name(type)}, {"shape", tensor.shape}, {"data_offsets", {position, end}}};
    position = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(std::string path, StorageType type, std::vector<TensorEntry> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : path_(std::move(path)), unfinished_(unfinished_path(path_)), type_(type), tensors_(std::move(tensors)) {
  static_assert(std::endian::native == std::endian::little, "values are written as they lie in memory");
  std::sort(tensors_.begin(), tensors_.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.name < b.name; });
  const std::string header = header_of(tensors_, type_, metadata);
  for (const TensorEntry& tensor : tensors_) elements_ += elements_of(tensor);
  if (const int failure = file_calls::open(unfinished_, O_CREAT | O_TRUNC, file_); failure != 0) {
    throw_storage_error("write", path_, failure);
  }
  const auto length = std::bit_cast<std::array<std::byte, 8>>(std::uint64_t{header.size()});
  write(length);
  write(std::as_bytes(std::span(header)));
}

SafetensorsWriter::~SafetensorsWriter() {
  if (!unfinished_.empty()) static_cast<void>(file_calls::unlink(unfinished_));
}

void SafetensorsWriter::append(std::span<const float> values) {
  CHORALE_ASSERT(values.size() <= elements_ - written_, "more values than the tensors of " + path_ + " have");
  if (type_ == StorageType::float32) {
    write(std::as_bytes(values));
  } else {
    narrow_.resize(values.size());
    std::transform(values.begin(), values.end(), narrow_.begin(),
                   type_ == StorageType::float16 ? half_from_float : bfloat16_from_float);
    for (std::size_t i = 0; i < values.size() && type_ == StorageType::float16; ++i) {
      if (std::isfinite(values[i]) && (narrow_[i] & 0x7C00U) == 0x7C00U) {
        throw InputError(
            fmt::format("{}: the tensor '{}' holds {}, which float16 cannot (65504 is its largest). Write bfloat16 or "
                        "float32.",
                        path_, printable(tensor_at(written_ + i)), values[i]));
      }
    }
    write(std::as_bytes(std::span(narrow_)));
  }
  written_ += values.size();
}

std::string SafetensorsWriter::finish() {
  CHORALE_ASSERT(written_ == elements_, "fewer values than the tensors of " + path_ + " have");
  if (file_.close() != 0) throw_storage_error("write", path_, errno);
  commit_file(std::exchange(unfinished_, {}), path_);
  return hash_.finish();
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  const std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  if (const int failure = file_calls::write(file_, text, unfinished_); failure != 0) {
    static_cast<void>(file_calls::unlink(std::exchange(unfinished_, {})));
    throw_storage_error("write", path_, failure);
  }
  hash_.update(bytes);
}

const std::string& SafetensorsWriter::tensor_at(std::uint64_t element) const {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(), [&](const TensorEntry& tensor) {
    const std::uint64_t count = elements_of(tensor);
    if (element < count) return true;
    element -= count;
    return false;
  });
  return found->name;
}

std::string write_safetensors(const std::string& path, std::vector<TensorToWrite> tensors,
                              const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorToWrite& a, const TensorToWrite& b) { return a.name < b.name; });
  std::vector<TensorEntry> entries;
  for (const TensorToWrite& tensor : tensors) {
    entries.push_back({tensor.name, tensor.shape});
    CHORALE_ASSERT(elements_of(entries.back()) == tensor.values.size(), "shape and values differ: " + tensor.name);
  }
  SafetensorsWriter writer(path, StorageType::float32, std::move(entries), metadata);
  for (const TensorToWrite& tensor : tensors) writer.append(tensor.values);
  return writer.finish();
}

}  // namespace chorale
