#include "core/weights/mapped_base.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/heartbeat.hpp"
#include "core/base/interruption.hpp"
#include "core/base/mapped_file.hpp"
#include "core/base/nearest.hpp"
#include "core/base/printable.hpp"
#include "core/base/sha256.hpp"
#include "core/weights/decode.hpp"
#include "core/weights/expected_tensors.hpp"

namespace chorale {
namespace {

struct Entry {
  const TensorView* tensor = nullptr;
  std::int64_t rotary_heads = 0;  // 0: rows are read as they lie
};

template <typename Element>
std::span<Element> part_of(std::span<Element> all, std::int64_t first, std::int64_t count) {
  return all.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
}

class MappedBase final : public BaseFiles {
 public:
  explicit MappedBase(BaseLayout layout) : layout_(std::move(layout)) {
    std::set<const TensorView*> used;
    for (const ExpectedTensor& expected : expected_tensors(layout_.config)) {
      const TensorView& tensor = checked(expected);
      entries_.emplace(expected.name, Entry{&tensor, layout_.interleaved_rotary ? expected.rotary_heads : 0});
      used.insert(&tensor);
    }
    report_unused(used);
  }

  const ModelConfig& config() const override { return layout_.config; }
  const std::string& path() const override { return layout_.source->path(); }
  std::string_view kind() const override { return layout_.kind; }
  bool has(std::string_view name) const override { return entries_.find(name) != entries_.end(); }
  std::vector<std::int64_t> shape(std::string_view name) const override { return entry(name).tensor->shape; }

  void read(std::string_view name, std::span<float> out) const override {
    read_rows(name, 0, matrix(entry(name)).rows, out);
  }

  void read_rows(std::string_view name, std::int64_t first, std::int64_t count, std::span<float> out) const override;
  std::optional<StorageType> stored_as(std::string_view name) const override { return entry(name).tensor->type; }
  void copy_rows(std::string_view name, std::int64_t first, std::int64_t count,
                 std::span<std::byte> out) const override;

  void read_ahead(std::string_view name) const override { chorale::read_ahead(entry(name).tensor->bytes); }
  void release(std::string_view name) const override { chorale::release_pages(entry(name).tensor->bytes); }

  void release_pages() const override {
    for (const TensorView& tensor : layout_.source->tensors()) {
      chorale::release_pages(tensor.bytes);
    }
  }

  std::string fingerprint() const override {
    return fingerprint_between([] {
      stop_if_asked("tensor");
      return true;
    });
  }
  std::string fingerprint_until(const std::stop_token& stop) const override {
    return fingerprint_between([&stop] {
      beat();
      return !stop.stop_requested();
    });
  }

 private:
  // goes_on() is asked between pieces; empty when it says no.
  template <typename GoesOn>
  std::string fingerprint_between(const GoesOn& goes_on) const {
    constexpr std::size_t kPiece = std::size_t{64} << 20U;
    const std::lock_guard<std::mutex> lock(fingerprint_mutex_);
    if (!fingerprint_.empty()) return fingerprint_;
    Sha256 hash;
    for (const TensorView& tensor : layout_.source->tensors()) {
      for (std::size_t done = 0; done < tensor.bytes.size(); done += kPiece) {
        if (!goes_on()) return "";
        hash.update(tensor.bytes.subspan(done, std::min(kPiece, tensor.bytes.size() - done)));
      }
      chorale::release_pages(tensor.bytes);
    }
    return fingerprint_ = hash.finish();
  }

  struct Matrix {
    std::int64_t rows = 0;
    std::int64_t columns = 0;
  };

  // A vector is a column here: its elements are the rows that belong to output features.
  static Matrix matrix(const Entry& entry) {
    const auto& shape = entry.tensor->shape;
    return {shape.front(), shape.size() > 1 ? shape.back() : 1};
  }

  static void check_rows(std::string_view name, const Entry& from, std::int64_t first, std::int64_t count) {
    const std::int64_t rows = matrix(from).rows;
    CHORALE_ASSERT(first >= 0 && count >= 0 && first <= rows && count <= rows - first,
                   "rows outside " + std::string(name));
  }

  const TensorView& checked(const ExpectedTensor& expected) const;
  void report_unused(const std::set<const TensorView*>& used) const;
  const Entry& entry(std::string_view name) const;

  BaseLayout layout_;
  std::map<std::string, Entry, std::less<>> entries_;
  mutable std::mutex fingerprint_mutex_;
  mutable std::string fingerprint_;  // once it was asked for: gigabytes were read for it
};

const TensorView& MappedBase::checked(const ExpectedTensor& expected) const {
  const std::string file_name = layout_.file_name(expected.name);
  const TensorView* tensor = layout_.source->find(file_name);
  if (tensor == nullptr) {
    throw InputError(
        fmt::format("{}: the tensor '{}' ({}) is missing; shape [{}] is expected. The file is incomplete or "
                    "its configuration does not belong to it: fetch the model again.",
                    path(), file_name, expected.name, fmt::join(expected.shape, ", ")));
  }
  if (tensor->shape != expected.shape) {
    throw InputError(
        fmt::format("{}: the tensor '{}' ({}) has shape [{}] where [{}] is expected. The configuration and "
                    "the weights do not belong together: fetch the model again.",
                    path(), file_name, expected.name, fmt::join(tensor->shape, ", "), fmt::join(expected.shape, ", ")));
  }
  if (tensor->shape.size() == 1 && block_layout(tensor->type).elements > 1) {
    throw InputError(
        fmt::format("{}: the vector '{}' ({}) is stored as {}; vectors must not be quantised. Convert the "
                    "model again.",
                    path(), file_name, expected.name, storage_type_name(tensor->type)));
  }
  return *tensor;
}

void MappedBase::report_unused(const std::set<const TensorView*>& used) const {
  for (const TensorView& tensor : layout_.source->tensors()) {
    // Old checkpoints store the rotary frequencies, which follow from the configuration; tied ones may repeat the head.
    const bool redundant =
        tensor.name.ends_with("rotary_emb.inv_freq") || (layout_.config.tied_head && tensor.name == "lm_head.weight");
    if (redundant || used.contains(&tensor)) {
      continue;
    }
    if (layout_.refuse_unused) {
      throw InputError(
          fmt::format("{}: the tensor '{}' has no place in a decoder of the family '{}', so that results "
                      "without it would be wrong. Choose a plain Llama-family model.",
                      path(), printable(tensor.name), layout_.config.family));
    }
    spdlog::warn("{}: the tensor '{}' is not part of the model that config.json describes and is ignored.", path(),
                 printable(tensor.name));
  }
}

const Entry& MappedBase::entry(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    std::vector<std::string_view> names;
    for (const auto& known : entries_) {
      names.push_back(known.first);
    }
    throw InputError(fmt::format("{}: the model has no tensor '{}'.{} `chorale inspect` lists all of them.", path(),
                                 printable(name), did_you_mean(name, std::span<const std::string_view>(names))));
  }
  return found->second;
}

// The library's own row functions see a vector as one row; here each of its elements is one.
TensorView with_rows(const TensorView& tensor) {
  TensorView view = tensor;
  if (view.shape.size() == 1) view.shape.push_back(1);
  return view;
}

// Calls part(first row in the file, count, first row here) for rows that lie together in the file, until rows
// [first, first + count) of what the base hands out are through.
template <typename Part>
void for_rows_in_file(const Entry& from, std::int64_t rows, std::int64_t first, std::int64_t count, const Part& part) {
  if (from.rotary_heads == 0) return part(first, count, std::int64_t{0});
  const std::int64_t per_head = rows / from.rotary_heads;
  for (std::int64_t row = first; row < first + count; ++row) {
    const std::int64_t head = row / per_head;
    const std::int64_t within = row % per_head;
    const std::int64_t half = within / (per_head / 2);
    const std::int64_t pair = within % (per_head / 2);
    part(head * per_head + 2 * pair + half, std::int64_t{1}, row - first);
  }
}

void MappedBase::read_rows(std::string_view name, std::int64_t first, std::int64_t count, std::span<float> out) const {
  const Entry& from = entry(name);
  const auto [rows, columns] = matrix(from);
  check_rows(name, from, first, count);
  CHORALE_ASSERT(std::cmp_equal(out.size(), count * columns), "wrong room for rows of " + std::string(name));
  const TensorView tensor = with_rows(*from.tensor);
  for_rows_in_file(from, rows, first, count, [&](std::int64_t row, std::int64_t together, std::int64_t at) {
    decode_rows(tensor, row, together, part_of(out, at * columns, together * columns));
  });
}

void MappedBase::copy_rows(std::string_view name, std::int64_t first, std::int64_t count,
                           std::span<std::byte> out) const {
  const Entry& from = entry(name);
  check_rows(name, from, first, count);
  const TensorView tensor = with_rows(*from.tensor);
  const std::int64_t bytes = row_bytes(tensor);
  CHORALE_ASSERT(std::cmp_equal(out.size(), count * bytes), "wrong room for rows of " + std::string(name));
  for_rows_in_file(from, matrix(from).rows, first, count,
                   [&](std::int64_t row, std::int64_t together, std::int64_t at) {
                     chorale::copy_rows(tensor, row, together, part_of(out, at * bytes, together * bytes));
                   });
}

}  // namespace

std::unique_ptr<BaseFiles> make_mapped_base(BaseLayout layout) {
  return std::make_unique<MappedBase>(std::move(layout));
}

}  // namespace chorale
