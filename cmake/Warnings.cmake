# chorale_warnings(target): the warnings our own code is held to.
function(chorale_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Wold-style-cast
    -Woverloaded-virtual -Wcast-align -Wunused -Wnull-dereference -Wduplicated-cond -Wlogical-op -Wdouble-promotion
    -Wformat=2 -Wimplicit-fallthrough)
  if(CHORALE_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  # A binary should not carry the builder's directory.
  target_compile_options(${target} PRIVATE -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
endfunction()
