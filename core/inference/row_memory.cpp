#include "core/inference/row_memory.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/base/descriptor.hpp"
#include "core/base/errors.hpp"

namespace chorale {
namespace {

[[noreturn]] void no_room(const std::string& directory, std::size_t bytes, int reason) {
  throw StorageError(
      fmt::format("{}: a file of {:.1f} GB for the frozen layers' output cannot be made: {}. Free some space, or "
                  "lower training.prefix_cache.",
                  directory, static_cast<double>(bytes) * 1e-9, std::strerror(reason)));
}

// Shared pages of a file that is unlinked at once. Its blocks are set aside now: a full disk is an error here and not
// a signal in the middle of a step.
void* map_new_file(const std::string& directory, std::size_t bytes) {
  std::string name = directory + "/.prefix_cache_XXXXXX";
  const Descriptor file(mkostemp(name.data(), O_CLOEXEC));
  if (file.get() < 0) no_room(directory, bytes, errno);
  unlink(name.c_str());
  if (const int reason = posix_fallocate(file.get(), 0, static_cast<off_t>(bytes)); reason != 0) {
    no_room(directory, bytes, reason);
  }
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (memory == MAP_FAILED) no_room(directory, bytes, errno);
  return memory;
}

}  // namespace

at::Tensor allocate_rows(std::int64_t rows, std::int64_t width, at::ScalarType type, at::Device device, RowPlace place,
                         const std::string& directory) {
  const at::TensorOptions options = at::TensorOptions().dtype(type);
  const std::size_t bytes = static_cast<std::size_t>(rows * width) * c10::elementSize(type);
  if (place == RowPlace::device || bytes == 0) return at::empty({rows, width}, options.device(device));
  if (place == RowPlace::host) return at::empty({rows, width}, options.pinned_memory(device.is_cuda()));
  void* const memory = map_new_file(directory, bytes);
  return at::from_blob(
      memory, {rows, width}, [bytes](void* mapped) { munmap(mapped, bytes); }, options);
}

}  // namespace chorale
