// What a file really is when it is not what its name or its place says: the kinds people hand over by mistake.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace chorale {

struct ForeignKind {
  std::string_view name;         // "a PDF document"
  std::string_view data_remedy;  // what to do where records were expected; a sentence
};

/// What a file is whose first bytes (64 are enough) are `start`; nothing for kinds that are not known, text among them.
[[nodiscard]] std::optional<ForeignKind> foreign_kind(std::string_view start);

/// " It is a PDF document." or nothing, to stand behind a message about a file that is not of the kind it should be.
[[nodiscard]] std::string foreign_kind_hint(std::string_view start);

}  // namespace chorale
