// The options of a record and which of them its answer names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/data/records.hpp"

namespace chorale {

inline constexpr std::size_t kMaxLetters = 26;

/// "A" for 0 ... "Z" for 25.
[[nodiscard]] std::string letter_of(std::size_t index);

/// The options in `field` of `record`: a JSON array of strings, numbers or booleans, or a string that holds such an
/// array or options between bars ("red | green"; blanks around the bars are dropped), as CSV and TSV need it.
/// InputError with file:line for another type, fewer than two options or one without text.
[[nodiscard]] std::vector<std::string> record_choices(const Record& record, const std::string& path,
                                                      const std::string& field);

/// How an answer was read.
struct Answer {
  std::int32_t index;      // 0..K-1
  bool ambiguous = false;  // as text it names this option, as letter or index another one
};

/// Which of `choices` the field names. A JSON integer is an index from 0. A string is, in this order, the text of an
/// option, its letter A..Z, its index in digits. nullopt when the field is missing, null or empty, or names no option;
/// InputError with file:line when it is no string and no integer, or is the text of two options.
[[nodiscard]] std::optional<Answer> find_answer(const Record& record, const std::string& path, const std::string& field,
                                                const std::vector<std::string>& choices);

/// Throws the InputError for a labelled record whose answer names no option.
[[noreturn]] void no_such_answer(const Record& record, const std::string& path, const std::string& field,
                                 const std::vector<std::string>& choices);

/// The options as a prompt shows them: a line "A. text" each, or the bare text without letters.
[[nodiscard]] std::string choices_text(const std::vector<std::string>& choices, bool letters);

}  // namespace chorale
