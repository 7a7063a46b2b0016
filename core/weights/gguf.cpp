#include "core/weights/gguf.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <fstream>
#include <string_view>

#include "core/base/errors.hpp"
#include "core/base/foreign_file.hpp"
#include "core/base/printable.hpp"
#include "core/weights/gguf_tensors.hpp"

namespace chorale {
namespace {

constexpr std::uint32_t newest_version = 3;

std::uint32_t read_version(ByteReader& reader, std::string_view start) {
  const auto magic = reader.take(4, "the magic number");
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
    throw InputError(
        fmt::format("{}: is not a GGUF file: it does not begin with 'GGUF'.{} Name a .gguf file or a Hugging "
                    "Face model directory.",
                    reader.path(), foreign_kind_hint(start)));
  }
  const auto version = reader.number<std::uint32_t>("the format version");
  if (version != 0 && (version & 0xffffU) == 0) {
    throw InputError(
        fmt::format("{}: is a big-endian GGUF file. Convert it to little-endian (the gguf package's "
                    "gguf-convert-endian does it).",
                    reader.path()));
  }
  if (version > newest_version) {
    throw InputError(
        fmt::format("{}: is GGUF version {}; versions 2 to {} can be read. Convert the model to version "
                    "{}.",
                    reader.path(), version, newest_version, newest_version));
  }
  if (version < 2) {
    throw InputError(
        fmt::format("{}: is GGUF version {}, from before the format settled; versions 2 to {} can be read. "
                    "Convert the model again.",
                    reader.path(), version, newest_version));
  }
  return version;
}

}  // namespace

GgufFile::GgufFile(const std::string& path) : file_(path) {
  ByteReader reader(file_.bytes(), path);
  version_ = read_version(reader, {reinterpret_cast<const char*>(file_.bytes().data()), file_.bytes().size()});
  const auto tensor_count = reader.number<std::uint64_t>("the number of tensors");
  const auto key_count = reader.number<std::uint64_t>("the number of metadata keys");
  metadata_ = Metadata::read(reader, key_count);
  if (const auto parts = metadata_.find_unsigned("split.count"); parts && *parts > 1) {
    throw InputError(fmt::format("{}: is one of {} parts of a split model. Join them first (llama-gguf-split --merge).",
                                 path, *parts));
  }
  tensors_ = read_gguf_tensors(reader, tensor_count, metadata_, file_.bytes());
}

bool looks_like_gguf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, 4> magic{};
  return file.read(magic.data(), magic.size()) && std::memcmp(magic.data(), "GGUF", magic.size()) == 0;
}

}  // namespace chorale
