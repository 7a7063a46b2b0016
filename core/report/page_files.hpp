// The parts of report.html that are built into this program (cmake/Embed.cmake).
#pragma once

#include <span>
#include <string_view>

namespace chorale {

/// A script and the name by which others require it.
struct ScriptFile {
  const char* name;
  std::string_view text;
};

[[nodiscard]] std::string_view page_template();
[[nodiscard]] std::string_view page_style();
/// Defines `chorale.define` and `chorale.require`.
[[nodiscard]] std::string_view page_modules_script();
/// All modules: Vega's as Debian ships them, then ours.
[[nodiscard]] std::span<const ScriptFile> page_scripts();

}  // namespace chorale
