// CSV and TSV with a header line.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/data/records.hpp"

namespace chorale {

enum class Delimited {
  csv,  // RFC 4180: comma, double quotes around fields with commas, quotes (doubled) or line breaks; lone CR ends a row
  tsv,  // tabs only: quotes and backslashes are plain characters, a field cannot hold a tab or a line break
};

/// The first `limit` records (0: all), one string per column of the header, their `id` still to be filled in. Blank
/// lines are skipped. InputError with file:line for a header with empty or repeated names, a row with more or fewer
/// fields than the header, a quote that is never closed, text behind a closing quote.
[[nodiscard]] std::vector<Record> read_delimited(const std::string& path, Delimited kind, std::size_t limit);

}  // namespace chorale
