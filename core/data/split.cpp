#include <fmt/format.h>

#include <cmath>
#include <cstdint>

#include "core/base/errors.hpp"
#include "core/base/sha256.hpp"
#include "core/data/task.hpp"

namespace chorale {
namespace {

// A number in [0, 1) made of a record's own contents: the first 52 bits of the SHA-256 of its fields as compact JSON
// with sorted keys. The line number, which stands in for a missing id, has no part in it.
double place_of(const Record& record) {
  const std::string digest = sha256(record.fields.dump());
  return static_cast<double>(std::stoull(digest.substr(0, 13), nullptr, 16)) * 0x1.0p-52;
}

}  // namespace

Split split_by_hash(const RecordFile& file, double fraction) {
  CHORALE_ASSERT(fraction > 0.0 && fraction < 1.0, "a share lies between 0 and 1");
  Split split{{file.path, {}}, {file.path, {}}};
  for (const Record& record : file.records) {
    (place_of(record) < fraction ? split.taken : split.rest).records.push_back(record);
  }
  if (split.taken.records.empty() || split.rest.records.empty()) {
    throw InputError(
        fmt::format("{}: a share of {} of its {} records leaves one side empty. Give more records, another "
                    "data.validation.fraction, or data.validation.path.",
                    file.path, fraction, file.records.size()));
  }
  return split;
}

}  // namespace chorale
