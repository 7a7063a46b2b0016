# chorale_embed(target name file): makes the file's bytes part of the target, as `std::string_view chorale::embedded::name()`,
# which whoever uses it declares. The assembler takes the file in as it is, so large files cost no compile time.
function(chorale_embed target name file)
  get_filename_component(path "${file}" ABSOLUTE)
  if(NOT EXISTS "${path}")
    message(FATAL_ERROR "${path} is missing; it becomes part of ${target}. Run launch/setup.")
  endif()
  set(source "${CMAKE_CURRENT_BINARY_DIR}/embedded/${name}.cpp")
  file(CONFIGURE OUTPUT "${source}" @ONLY CONTENT [=[
// Made by cmake/Embed.cmake.
#include <string_view>

asm(R"(
  .pushsection .rodata, "a", %progbits
  .balign 16
chorale_embedded_@name@_begin:
  .incbin "@path@"
chorale_embedded_@name@_end:
  .byte 0
  .popsection
)");

extern const char chorale_embedded_@name@_begin[] __asm__("chorale_embedded_@name@_begin");
extern const char chorale_embedded_@name@_end[] __asm__("chorale_embedded_@name@_end");

namespace chorale::embedded {

std::string_view @name@();
std::string_view @name@() {
  return {chorale_embedded_@name@_begin,
          static_cast<std::string_view::size_type>(chorale_embedded_@name@_end - chorale_embedded_@name@_begin)};
}

}  // namespace chorale::embedded
]=])
  set_source_files_properties("${source}" PROPERTIES OBJECT_DEPENDS "${path}")
  target_sources(${target} PRIVATE "${source}")
endfunction()
