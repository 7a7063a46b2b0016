#include "core/report/report_page.hpp"

#include <fmt/format.h>

#include <map>
#include <string_view>

#include "core/base/errors.hpp"
#include "core/base/sha256.hpp"
#include "core/report/page_files.hpp"
#include "core/report/static_page.hpp"

namespace chorale {
namespace {

// A module in the sense of page/modules.js. Vega's files ask for `define` before they look at `exports`, and name
// source maps that a browser's tools would go and ask a server for.
std::string module_text(const ScriptFile& file) {
  std::string_view text = file.text;
  const std::size_t map = text.rfind("//# sourceMappingURL=");
  if (map != std::string_view::npos) text = text.substr(0, map);
  return fmt::format("chorale.define(\"{}\", function (exports, require, module) {{\nvar define;\n{}\n}});\n",
                     file.name, text);
}

std::string script() {
  std::string text = "\"use strict\";\n";
  text += page_modules_script();
  for (const ScriptFile& file : page_scripts()) text += module_text(file);
  text += "chorale.require(\"main\").show();\n";
  CHORALE_ASSERT(text.find("</script") == std::string::npos, "a script must not end its element");
  return text;
}

// JSON inside a script element: ASCII alone, so no line separators, and no '<', so neither </script> nor <!--.
std::string data_text(const nlohmann::json& data) {
  const std::string json = data.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
  std::string text;
  text.reserve(json.size());
  for (const char c : json) {
    if (c == '<') {
      text += "\\u003c";
    } else {
      text += c;
    }
  }
  return text;
}

std::string title_of(const nlohmann::json& data) {
  std::string names;
  for (const nlohmann::json& run : data.at("runs")) {
    names += (names.empty() ? "" : ", ") + run.at("name").get<std::string>();
  }
  return html_escaped(names);
}

// The template with {{NAME}} replaced, in one pass: what is put in is not looked at again.
std::string filled(std::string_view text, const std::map<std::string, std::string, std::less<>>& values) {
  std::string result;
  while (true) {
    const std::size_t begin = text.find("{{");
    if (begin == std::string_view::npos) return result.append(text);
    const std::size_t end = text.find("}}", begin);
    CHORALE_ASSERT(end != std::string_view::npos, "an open place in the page's template");
    result.append(text.substr(0, begin)).append(values.at(std::string(text.substr(begin + 2, end - begin - 2))));
    text.remove_prefix(end + 2);
  }
}

}  // namespace

std::string report_page(const nlohmann::json& data) {
  const std::string code = script();
  return filled(page_template(), {{"TITLE", title_of(data)},
                                  {"SCRIPT_HASH", sha256_base64(code)},
                                  {"STYLE", std::string(page_style())},
                                  {"STATIC", static_results(data)},
                                  {"DATA", data_text(data)},
                                  {"SCRIPT", code}});
}

}  // namespace chorale
