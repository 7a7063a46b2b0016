#include "core/weights/safetensors.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/foreign_file.hpp"
#include "core/base/printable.hpp"
#include "core/base/strict_json.hpp"
#include "core/weights/byte_reader.hpp"
#include "core/weights/checked_extent.hpp"

namespace chorale {
namespace {

using nlohmann::json;

constexpr std::uint64_t longest_header = 100'000'000;  // of the format's reference implementation

struct Dtype {
  std::string_view name;
  std::int64_t bytes = 0;
  std::optional<StorageType> decodable;
};

constexpr std::array<Dtype, 17> dtypes{{{"F64", 8, StorageType::float64},
                                        {"F32", 4, StorageType::float32},
                                        {"F16", 2, StorageType::float16},
                                        {"BF16", 2, StorageType::bfloat16},
                                        {"BOOL", 1, {}},
                                        {"U8", 1, {}},
                                        {"I8", 1, {}},
                                        {"F8_E4M3", 1, {}},
                                        {"F8_E5M2", 1, {}},
                                        {"F8_E8M0", 1, {}},
                                        {"U16", 2, {}},
                                        {"I16", 2, {}},
                                        {"U32", 4, {}},
                                        {"I32", 4, {}},
                                        {"U64", 8, {}},
                                        {"I64", 8, {}},
                                        {"C64", 8, {}}}};

struct Entry {
  std::string name;
  const Dtype* dtype = nullptr;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // from the start of the data
  std::uint64_t end = 0;
};

// What to do next is the same for everything that can be wrong inside a file that once was right.
[[noreturn]] void refuse(const std::string& path, const std::string& problem) {
  throw InputError(fmt::format("{}: {}. The file is damaged or incomplete: fetch it again.", path, problem));
}

std::string_view read_header(ByteReader& reader) {
  const auto length = reader.number<std::uint64_t>("the header's length");
  if (length > longest_header || length > reader.left()) {
    refuse(reader.path(), fmt::format("the header is said to be {} bytes long; {} are left in the file and {} are "
                                      "allowed",
                                      length, reader.left(), longest_header));
  }
  const auto bytes = reader.take(length, "the header");
  const std::string_view header{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  if (!header.starts_with('{')) {
    refuse(reader.path(), "is not a safetensors file: its header does not begin with '{'");
  }
  return header;
}

std::vector<std::uint64_t> unsigned_list(const json& entry, const char* key, const std::string& path,
                                         const std::string& name) {
  const auto found = entry.find(key);
  const bool valid =
      found != entry.end() && found->is_array() &&
      std::all_of(found->begin(), found->end(), [](const json& item) { return item.is_number_unsigned(); });
  if (!valid) {
    refuse(path, fmt::format("tensor '{}': '{}' is not a list of integers from 0 up", printable(name), key));
  }
  return found->get<std::vector<std::uint64_t>>();
}

const Dtype& dtype_of(const json& entry, const std::string& path, const std::string& name) {
  const auto found = entry.find("dtype");
  if (found == entry.end() || !found->is_string()) {
    refuse(path, fmt::format("tensor '{}': 'dtype' is missing or not a string", printable(name)));
  }
  const auto& text = found->get_ref<const std::string&>();
  const auto* known =
      std::find_if(dtypes.begin(), dtypes.end(), [&](const Dtype& dtype) { return dtype.name == text; });
  if (known == dtypes.end()) {
    throw InputError(
        fmt::format("{}: tensor '{}' has the unknown dtype '{}'; F64, F32, F16 and BF16 can be read. Save "
                    "the model in one of these.",
                    path, printable(name), printable(text)));
  }
  return *known;
}

Entry read_entry(const json& entry, const std::string& path, const std::string& name) {
  if (!entry.is_object()) {
    refuse(path, fmt::format("tensor '{}' is not described by an object", printable(name)));
  }
  Entry out;
  out.name = name;
  out.dtype = &dtype_of(entry, path, name);
  const auto shape = unsigned_list(entry, "shape", path, name);
  const auto offsets = unsigned_list(entry, "data_offsets", path, name);
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    refuse(path, fmt::format("tensor '{}': 'data_offsets' is not a pair [begin, end]", printable(name)));
  }
  const auto extent = checked_extent(shape, {1, out.dtype->bytes});
  if (!extent || extent->bytes != offsets[1] - offsets[0]) {
    refuse(path, fmt::format("tensor '{}': {} of shape [{}] does not take the {} bytes of 'data_offsets'",
                             printable(name), out.dtype->name, fmt::join(shape, ", "), offsets[1] - offsets[0]));
  }
  out.shape = extent->shape;
  out.begin = offsets[0];
  out.end = offsets[1];
  return out;
}

std::map<std::string, std::string> read_metadata(const json& value, const std::string& path) {
  const bool valid =
      value.is_object() && std::all_of(value.begin(), value.end(), [](const json& item) { return item.is_string(); });
  if (!valid) {
    refuse(path, "'__metadata__' is not an object of strings");
  }
  return value.get<std::map<std::string, std::string>>();
}

// Sorted by position, the tensors must follow each other without a gap from the first byte to the last.
void expect_exact_cover(std::vector<Entry>& entries, std::uint64_t data_size, const std::string& path) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != covered) {
      refuse(path, fmt::format("tensor '{}' begins at byte {} of the data where the one before it ends at {}",
                               printable(entry.name), entry.begin, covered));
    }
    covered = entry.end;
  }
  if (covered != data_size) {
    refuse(path, fmt::format("the tensors take {} bytes but the file holds {} bytes of data", covered, data_size));
  }
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
  const std::string_view start{reinterpret_cast<const char*>(file_.bytes().data()), file_.bytes().size()};
  if (const auto kind = foreign_kind(start);
      kind && !start.substr(std::min<std::size_t>(8, start.size())).starts_with('{')) {
    throw InputError(fmt::format("{}: is no safetensors file but {}. Fetch the model again.", path, kind->name));
  }
  ByteReader reader(file_.bytes(), path);
  const json header = parse_strict_json(read_header(reader), path + " (header)");
  const auto data = reader.take(reader.left(), "the data");
  std::vector<Entry> entries;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      metadata_ = read_metadata(entry, path);
    } else {
      entries.push_back(read_entry(entry, path, name));
    }
  }
  expect_exact_cover(entries, data.size(), path);
  for (Entry& entry : entries) {
    if (!entry.dtype->decodable) {
      undecodable_.emplace(std::move(entry.name), entry.dtype->name);
      continue;
    }
    tensors_.push_back({std::move(entry.name), std::move(entry.shape), *entry.dtype->decodable,
                        data.subspan(entry.begin, entry.end - entry.begin)});
  }
  sort_by_name(tensors_, path);
}

}  // namespace chorale
