#include "core/weights/mapped_base.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <map>
#include <set>
#include <utility>

#include "core/base/errors.hpp"
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

class MappedBase : public BaseFiles {
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

  void release_pages() const override {
    for (const TensorView& tensor : layout_.source->tensors()) {
      chorale::release_pages(tensor.bytes);
    }
  }

  std::string fingerprint() const override {
    if (!fingerprint_.empty()) return fingerprint_;
    Sha256 hash;
    for (const TensorView& tensor : layout_.source->tensors()) {
      stop_if_asked("tensor");
      hash.update(tensor.bytes);
    }
    return fingerprint_ = hash.finish();
  }

 private:
  struct Matrix {
    std::int64_t rows = 0;
    std::int64_t columns = 0;
  };

  // A vector is a column here: its elements are the rows that belong to output features.
  static Matrix matrix(const Entry& entry) {
    const auto& shape = entry.tensor->shape;
    return {shape.front(), shape.size() > 1 ? shape.back() : 1};
  }

  const TensorView& checked(const ExpectedTensor& expected) const;
  void report_unused(const std::set<const TensorView*>& used) const;
  const Entry& entry(std::string_view name) const;

  BaseLayout layout_;
  std::map<std::string, Entry, std::less<>> entries_;
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

void MappedBase::read_rows(std::string_view name, std::int64_t first, std::int64_t count, std::span<float> out) const {
  const Entry& from = entry(name);
  const auto [rows, columns] = matrix(from);
  CHORALE_ASSERT(first >= 0 && count >= 0 && first <= rows && count <= rows - first,
                 "rows outside " + std::string(name));
  CHORALE_ASSERT(std::cmp_equal(out.size(), count * columns), "wrong room for rows of " + std::string(name));
  // The library's own row functions see a vector as one row; here each of its elements is one.
  TensorView tensor = *from.tensor;
  if (tensor.shape.size() == 1) {
    tensor.shape.push_back(1);
  }
  if (from.rotary_heads == 0) {
    decode_rows(tensor, first, count, out);
    return;
  }
  const std::int64_t per_head = rows / from.rotary_heads;
  for (std::int64_t row = first; row < first + count; ++row) {
    const std::int64_t head = row / per_head;
    const std::int64_t within = row % per_head;
    const std::int64_t half = within / (per_head / 2);
    const std::int64_t pair = within % (per_head / 2);
    const auto room = out.subspan(static_cast<std::size_t>((row - first) * columns), static_cast<std::size_t>(columns));
    decode_rows(tensor, head * per_head + 2 * pair + half, 1, room);
  }
}

}  // namespace

std::unique_ptr<BaseFiles> make_mapped_base(BaseLayout layout) {
  return std::make_unique<MappedBase>(std::move(layout));
}

}  // namespace chorale
