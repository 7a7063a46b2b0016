# chorale_sanitize(target): what CHORALE_SANITIZE and CHORALE_ASSERTIONS ask for.
function(chorale_sanitize target)
  if(CHORALE_ASSERTIONS)
    target_compile_definitions(${target} PRIVATE _GLIBCXX_ASSERTIONS)
  endif()
  if(CHORALE_SANITIZE)
    # g++ 12 sees uninitialised values in the code that the sanitizers themselves add.
    target_compile_options(${target} PRIVATE -fsanitize=${CHORALE_SANITIZE} -fno-sanitize-recover=all
                           -fno-omit-frame-pointer -U_FORTIFY_SOURCE -Wno-maybe-uninitialized)
    target_link_options(${target} PUBLIC -fsanitize=${CHORALE_SANITIZE})
  endif()
endfunction()
