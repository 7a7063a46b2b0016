// report.html: one file that needs nothing else, neither network nor other files.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace chorale {

/// The page that shows `data` (report_data.hpp): template, style, Vega and our own scripts (page/), all of them parts
/// of this program, and the data as JSON in which nothing can end the script element. Its Content-Security-Policy
/// allows this one script, by its hash, and no request at all; no part of it is made into code at run time.
[[nodiscard]] std::string report_page(const nlohmann::json& data);

}  // namespace chorale
