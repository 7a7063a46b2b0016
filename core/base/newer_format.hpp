// A file of ours that a newer version of this program wrote.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/errors.hpp"

namespace chorale {

/// Says both versions. A type of its own because such a file is not damaged: nobody may put it aside and go on without.
class NewerFormatError : public InputError {
 public:
  NewerFormatError(const std::string& path, std::int64_t version, std::int64_t newest);
};

}  // namespace chorale
