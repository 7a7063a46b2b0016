// Numbers for a page: six digits are more than any chart shows, seventeen would double its size.
#pragma once

#include <nlohmann/json.hpp>

namespace chorale {

/// `value` to six significant digits; null where it is infinite or not a number.
[[nodiscard]] nlohmann::json six_digits(double value);

}  // namespace chorale
