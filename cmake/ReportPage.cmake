# chorale_embed_report_page(target): template, style and scripts of report.html, and of Vega (Debian's libjs-vega) the modules
# they need, as parts of the target; `page_scripts()` of core/report/page_files.hpp lists the scripts under their names.
set(CHORALE_VEGA_DIRECTORY "/usr/share/javascript/vega" CACHE PATH "Where libjs-vega keeps its vega-*.min.js")
function(chorale_embed_report_page target)
  # Maps, networks, trees, word clouds, label placement and regressions are left out; no module named here asks for them.
  set(vega util time format loader scale statistics canvas dataflow scenegraph expression event-selector selection functions
    runtime interpreter encode transforms view-transforms view parser)
  set(declarations "")
  set(entries "")
  foreach(part ${vega})
    string(REPLACE "-" "_" name "vega_${part}")
    chorale_embed(${target} ${name} "${CHORALE_VEGA_DIRECTORY}/vega-${part}.min.js")
    string(APPEND declarations "std::string_view ${name}();\n")
    # Others ask for vega-selection by the name of its directory.
    string(REPLACE "selection" "selections" required "vega-${part}")
    string(APPEND entries "      {\"${required}\", embedded::${name}()},\n")
  endforeach()
  file(GLOB_RECURSE scripts CONFIGURE_DEPENDS RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}/report/page/scripts"
    "${CMAKE_CURRENT_SOURCE_DIR}/report/page/scripts/*.js")
  foreach(script ${scripts})
    string(REGEX REPLACE "\\.js$" "" module "${script}")
    string(MAKE_C_IDENTIFIER "page_${module}" name)
    chorale_embed(${target} ${name} "${CMAKE_CURRENT_SOURCE_DIR}/report/page/scripts/${script}")
    string(APPEND declarations "std::string_view ${name}();\n")
    string(APPEND entries "      {\"${module}\", embedded::${name}()},\n")
  endforeach()
  foreach(file template.html style.css modules.js)
    string(MAKE_C_IDENTIFIER "report_${file}" name)
    chorale_embed(${target} ${name} "${CMAKE_CURRENT_SOURCE_DIR}/report/page/${file}")
    string(APPEND declarations "std::string_view ${name}();\n")
  endforeach()
  set(source "${CMAKE_CURRENT_BINARY_DIR}/embedded/page_files.cpp")
  file(CONFIGURE OUTPUT "${source}" @ONLY CONTENT [=[
// Made by cmake/ReportPage.cmake.
#include "core/report/page_files.hpp"

#include <vector>

namespace chorale {
namespace embedded {

@declarations@
}  // namespace embedded

std::string_view page_template() { return embedded::report_template_html(); }
std::string_view page_style() { return embedded::report_style_css(); }
std::string_view page_modules_script() { return embedded::report_modules_js(); }

std::span<const ScriptFile> page_scripts() {
  static const std::vector<ScriptFile> kScripts = {
@entries@  };
  return kScripts;
}

}  // namespace chorale
]=])
  target_sources(${target} PRIVATE "${source}")
endfunction()
