// The writing half of safetensors.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/weights/safetensors.hpp"

namespace chorale {
namespace {

std::string header_of(const std::vector<TensorToWrite>& tensors, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) {
    header["__metadata__"] = metadata;
  }
  std::uint64_t position = 0;
  for (const TensorToWrite& tensor : tensors) {
    std::int64_t elements = 1;
    for (const std::int64_t size : tensor.shape) {
      elements *= size;
    }
    CHORALE_ASSERT(std::cmp_equal(elements, tensor.values.size()), "shape and values differ: " + tensor.name);
    CHORALE_ASSERT(!header.contains(tensor.name), "two tensors called " + tensor.name);
    const std::uint64_t end = position + tensor.values.size_bytes();
    header[tensor.name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {position, end}}};
    position = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

void write_safetensors(const std::string& path, std::vector<TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata) {
  static_assert(std::endian::native == std::endian::little, "values are written as they lie in memory");
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorToWrite& a, const TensorToWrite& b) { return a.name < b.name; });
  const std::string header = header_of(tensors, metadata);
  const auto length = std::bit_cast<std::array<char, 8>>(std::uint64_t{header.size()});

  const std::string unfinished = unfinished_path(path);
  std::ofstream file(unfinished, std::ios::binary | std::ios::trunc);
  file.write(length.data(), length.size());
  file.write(header.data(), static_cast<std::streamsize>(header.size()));
  for (const TensorToWrite& tensor : tensors) {
    const auto bytes = std::as_bytes(tensor.values);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  file.close();
  if (!file) {
    const int cause = errno;
    std::remove(unfinished.c_str());
    throw_storage_error("write", path, cause);
  }
  commit_file(unfinished, path);
}

}  // namespace chorale
