#include "core/base/errors.hpp"

#include <fmt/format.h>

namespace chorale {

void assertion_failed(const char* condition, const char* file, int line, const std::string& message) {
  throw InternalError(fmt::format("internal error: {} ({}:{}: '{}' does not hold). Please report this.", message, file,
                                  line, condition));
}

}  // namespace chorale
