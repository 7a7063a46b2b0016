#include "core/weights/gguf_tensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/weights/checked_extent.hpp"
#include "core/weights/decode.hpp"

namespace chorale {
namespace {

constexpr std::uint32_t most_dimensions = 4;  // of ggml
constexpr std::uint64_t default_alignment = 32;
// Name length, number of dimensions, type, offset: what an entry takes at least.
constexpr std::uint64_t smallest_entry = 8 + 4 + 4 + 8;

std::optional<StorageType> storage_type(std::uint32_t number) {
  switch (number) {
    case 0:
      return StorageType::float32;
    case 1:
      return StorageType::float16;
    case 2:
      return StorageType::q4_0;
    case 3:
      return StorageType::q4_1;
    case 8:
      return StorageType::q8_0;
    case 28:
      return StorageType::float64;
    case 30:
      return StorageType::bfloat16;
    default:
      return std::nullopt;
  }
}

// Names of the types that are not decoded, so that a message can say what the file holds.
std::string type_name(std::uint32_t number) {
  constexpr std::array<std::pair<std::uint32_t, std::string_view>, 28> names{{
      {6, "Q5_0"},   {7, "Q5_1"},      {9, "Q8_1"},      {10, "Q2_K"},     {11, "Q3_K"},   {12, "Q4_K"},
      {13, "Q5_K"},  {14, "Q6_K"},     {15, "Q8_K"},     {16, "IQ2_XXS"},  {17, "IQ2_XS"}, {18, "IQ3_XXS"},
      {19, "IQ1_S"}, {20, "IQ4_NL"},   {21, "IQ3_S"},    {22, "IQ2_S"},    {23, "IQ4_XS"}, {24, "I8"},
      {25, "I16"},   {26, "I32"},      {27, "I64"},      {29, "IQ1_M"},    {34, "TQ1_0"},  {35, "TQ2_0"},
      {39, "MXFP4"}, {31, "Q4_0_4_4"}, {32, "Q4_0_4_8"}, {33, "Q4_0_8_8"},
  }};
  const auto* found =
      std::find_if(names.begin(), names.end(), [&](const auto& entry) { return entry.first == number; });
  return found == names.end() ? fmt::format("number {}", number) : std::string(found->second);
}

struct Entry {
  TensorView tensor;
  std::uint64_t offset = 0;  // from the start of the data section
  std::uint64_t size = 0;    // bytes
};

[[noreturn]] void refuse(const ByteReader& reader, const std::string& name, const std::string& problem) {
  throw InputError(fmt::format("{}: tensor '{}' {}", reader.path(), printable(name), problem));
}

Entry read_entry(ByteReader& reader) {
  Entry entry;
  entry.tensor.name = reader.text("a tensor's name");
  const std::string& name = entry.tensor.name;
  const auto dimensions = reader.number<std::uint32_t>("a tensor's number of dimensions");
  if (dimensions > most_dimensions) {
    refuse(reader, name,
           fmt::format("has {} dimensions; at most {} are possible. The file is damaged: fetch it again.", dimensions,
                       most_dimensions));
  }
  std::vector<std::uint64_t> shape;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    shape.push_back(reader.number<std::uint64_t>("a tensor's dimension"));
  }
  std::reverse(shape.begin(), shape.end());  // the file stores the fastest dimension first
  const auto type_number = reader.number<std::uint32_t>("a tensor's type");
  entry.offset = reader.number<std::uint64_t>("a tensor's offset");

  const auto type = storage_type(type_number);
  if (!type) {
    refuse(reader, name,
           fmt::format("is stored as {}, which is not supported; supported are F32, F16, BF16, F64, Q4_0, "
                       "Q4_1 and Q8_0. Convert the model to one of these (llama-quantize).",
                       type_name(type_number)));
  }
  entry.tensor.type = *type;
  const auto extent = checked_extent(shape, block_layout(*type));
  if (!extent) {
    refuse(reader, name,
           fmt::format("has the impossible shape [{}] for the type {}: sizes overflow, or rows are not made "
                       "of whole blocks. The file is damaged: fetch it again.",
                       fmt::join(shape, ", "), storage_type_name(*type)));
  }
  entry.tensor.shape = extent->shape;
  entry.size = extent->bytes;
  return entry;
}

std::uint64_t read_alignment(const Metadata& metadata, const std::string& path) {
  const std::uint64_t alignment = metadata.find_unsigned("general.alignment").value_or(default_alignment);
  if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > (1U << 30U)) {
    throw InputError(fmt::format("{}: general.alignment is {}, not a power of two up to 2^30. Convert the model again.",
                                 path, alignment));
  }
  return alignment;
}

void expect_no_overlap(const ByteReader& reader, std::vector<Entry>& entries) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.offset, a.size) < std::pair(b.offset, b.size); });
  for (std::size_t i = 1; i < entries.size(); ++i) {
    if (entries[i].offset < entries[i - 1].offset + entries[i - 1].size) {
      refuse(reader, entries[i].tensor.name,
             fmt::format("overlaps tensor '{}' in the file. The file is damaged: fetch it again.",
                         printable(entries[i - 1].tensor.name)));
    }
  }
}

}  // namespace

std::vector<TensorView> read_gguf_tensors(ByteReader& reader, std::uint64_t count, const Metadata& metadata,
                                          std::span<const std::byte> file) {
  reader.expect_room(count, smallest_entry, "the number of tensors");
  std::vector<Entry> entries;
  entries.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    entries.push_back(read_entry(reader));
  }

  const std::uint64_t alignment = read_alignment(metadata, reader.path());
  const std::uint64_t data_start = (reader.position() + alignment - 1) / alignment * alignment;
  const std::uint64_t data_size = data_start < file.size() ? file.size() - data_start : 0;
  for (Entry& entry : entries) {
    if (entry.offset % alignment != 0) {
      refuse(reader, entry.tensor.name,
             fmt::format("begins at offset {}, not a multiple of the alignment {}. The file "
                         "is damaged: fetch it again.",
                         entry.offset, alignment));
    }
    if (entry.offset > data_size || entry.size > data_size - entry.offset) {
      refuse(reader, entry.tensor.name,
             fmt::format("needs {} bytes at offset {}, but the data section has {}. An "
                         "interrupted download? Fetch the file again.",
                         entry.size, entry.offset, data_size));
    }
    if (entry.size > 0) {
      entry.tensor.bytes = file.subspan(data_start + entry.offset, entry.size);
    }
  }
  expect_no_overlap(reader, entries);

  std::vector<TensorView> tensors;
  tensors.reserve(entries.size());
  for (Entry& entry : entries) {
    tensors.push_back(std::move(entry.tensor));
  }
  sort_by_name(tensors, reader.path());
  return tensors;
}

}  // namespace chorale
