#include "core/base/foreign_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace chorale {
namespace {

using namespace std::string_view_literals;

struct Signature {
  std::string_view bytes;
  std::string_view kind;
  std::string_view remedy;
  bool then_binary = false;
};

constexpr std::string_view kTable =
    "Write its rows as JSON lines first (pandas: to_json with orient='records', lines=True).";
constexpr std::string_view kWeights = "Name it in base.path, and a .jsonl, .csv or .tsv file here.";

// From the formats' own documents and file(1)'s list of signatures.
constexpr std::array<Signature, 26> kSignatures = {{
    {"%PDF-"sv, "a PDF document", "Extract its text into records first."},
    {"\x89PNG\r\n\x1a\n"sv, "a PNG image", "Give the path of the text file."},
    {"\xff\xd8\xff"sv, "a JPEG image", "Give the path of the text file."},
    {"GIF8"sv, "a GIF image", "Give the path of the text file.", true},
    {"\x1f\x8b"sv, "compressed with gzip", "Unpack it first (gunzip)."},
    {"BZh"sv, "compressed with bzip2", "Unpack it first (bunzip2).", true},
    {"\xfd\x37zXZ\0"sv, "compressed with xz", "Unpack it first (unxz)."},
    {"\x28\xb5\x2f\xfd"sv, "compressed with zstd", "Unpack it first (unzstd)."},
    {"7z\xbc\xaf\x27\x1c"sv, "a 7z archive", "Unpack it first."},
    {"PK\x03\x04"sv, "a zip archive (or a spreadsheet, or PyTorch's weights)",
     "Unpack it first (unzip); save a spreadsheet as CSV."},
    {"PAR1"sv, "a Parquet file", kTable, true},
    {"ARROW1"sv, "an Arrow file", kTable, true},
    {"\x93NUMPY"sv, "a NumPy array", "Write its rows as JSON lines first."},
    {"\x80\x02"sv, "a Python pickle", "Load it in Python and write JSON lines."},
    {"\x80\x03"sv, "a Python pickle", "Load it in Python and write JSON lines."},
    {"\x80\x04"sv, "a Python pickle", "Load it in Python and write JSON lines."},
    {"\x80\x05"sv, "a Python pickle", "Load it in Python and write JSON lines."},
    {"SQLite format 3\0"sv, "an SQLite database", "Export the table as CSV first."},
    {"\x89HDF\r\n\x1a\n"sv, "an HDF5 file",
     "Give the path of the text file, or name it .h5 where predictions are read."},
    {"GGUF"sv, "a GGUF model", kWeights, true},
    {"\x7f"
     "ELF"sv,
     "a program", "Give the path of the text file."},
    {"\xff\xfe"sv, "UTF-16 text", "Save the file as UTF-8 (iconv -f UTF-16 -t UTF-8)."},
    {"\xfe\xff"sv, "UTF-16 text", "Save the file as UTF-8 (iconv -f UTF-16 -t UTF-8)."},
    {"<!DOCTYPE"sv, "a web page", "Fetch the file itself, not the page about it."},
    {"<html"sv, "a web page", "Fetch the file itself, not the page about it."},
    {"version https://git-lfs"sv, "a placeholder of Git LFS (git lfs pull fetches the file)", "Fetch the file itself."},
}};

// Signatures in plain letters may begin a text as well; what follows them in such a file is no text.
bool is_text(std::string_view start) {
  return std::all_of(start.begin(), start.end(),
                     [](unsigned char byte) { return byte >= 0x20 || byte == '\n' || byte == '\r' || byte == '\t'; });
}

// Eight bytes of length, then a JSON object of tensors: zeros in the length tell it from text.
bool is_safetensors(std::string_view start) {
  return start.size() > 9 && start[8] == '{' && start.substr(5, 3) == "\0\0\0"sv;
}

}  // namespace

std::optional<ForeignKind> foreign_kind(std::string_view start) {
  start = start.substr(0, 64);
  const auto found = std::find_if(kSignatures.begin(), kSignatures.end(), [&](const Signature& signature) {
    return start.starts_with(signature.bytes) && !(signature.then_binary && is_text(start));
  });
  if (found != kSignatures.end()) return ForeignKind{found->kind, found->remedy};
  if (is_safetensors(start)) return ForeignKind{"a safetensors file of weights", kWeights};
  return std::nullopt;
}

std::string foreign_kind_hint(std::string_view start) {
  const auto kind = foreign_kind(start);
  return kind ? fmt::format(" It is {}.", kind->name) : "";
}

}  // namespace chorale
