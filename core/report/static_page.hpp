// What of the report is seen without JavaScript.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace chorale {

/// `text` for the inside of an element or a quoted attribute.
[[nodiscard]] std::string html_escaped(std::string_view text);

/// HTML of every run's headline and main table, from the object report_data() makes.
[[nodiscard]] std::string static_results(const nlohmann::json& data);

}  // namespace chorale
