#include "launch/build_id.hpp"

#include <elf.h>
#include <fmt/format.h>
#include <link.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

namespace chorale {
namespace {

constexpr std::size_t padded(std::size_t size) {
  return (size + 3) / 4 * 4;
}

// The build id among the notes of one segment: each a header, a name and a content, padded to four bytes.
std::string id_among(std::span<const std::byte> notes) {
  ElfW(Nhdr) note{};
  while (notes.size() >= sizeof note) {
    std::memcpy(&note, notes.data(), sizeof note);
    const std::size_t content_at = sizeof note + padded(note.n_namesz);
    if (content_at + note.n_descsz > notes.size()) break;
    const std::string_view name(reinterpret_cast<const char*>(notes.data() + sizeof note), note.n_namesz);
    if (note.n_type == NT_GNU_BUILD_ID && name == std::string_view("GNU\0", 4)) {
      std::string text;
      for (const std::byte byte : notes.subspan(content_at, note.n_descsz)) {
        text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
      }
      return text;
    }
    notes = notes.subspan(std::min(notes.size(), content_at + padded(note.n_descsz)));
  }
  return "";
}

// Called for every loaded object; the program itself is the first.
int look_at(dl_phdr_info* object, std::size_t /*size*/, void* result) {
  for (const ElfW(Phdr) & segment : std::span(object->dlpi_phdr, object->dlpi_phnum)) {
    if (segment.p_type != PT_NOTE) continue;
    const auto* first = reinterpret_cast<const std::byte*>(object->dlpi_addr + segment.p_vaddr);
    auto& id = *static_cast<std::string*>(result);
    if (id.empty()) id = id_among({first, segment.p_memsz});
  }
  return 1;  // no further objects
}

}  // namespace

std::string build_id() {
  std::string id;
  dl_iterate_phdr(look_at, &id);
  return id;
}

}  // namespace chorale
