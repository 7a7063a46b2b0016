# cmake --install: bin/chorale with the library it loads on a GPU, and the recipes. torch itself stays where its wheel is; see CONTRIBUTING.md.
include(GNUInstallDirs)
# The installed program finds torch where the built one does, in the environment the build used. CMake adds by itself only
# what lies outside the source tree.
set(install_rpath ${CMAKE_BUILD_RPATH} ${CHORALE_TORCH_ROOT}/lib)
foreach(library ${chorale_cudart_library})
  get_filename_component(directory ${library} DIRECTORY)
  list(APPEND install_rpath ${directory})
endforeach()
set_target_properties(chorale PROPERTIES INSTALL_RPATH "${install_rpath}" INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS chorale RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(TARGET chorale_cuda_graph)  # the program loads it by name from where it is itself
  set_target_properties(chorale_cuda_graph PROPERTIES INSTALL_RPATH "${install_rpath}" INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS chorale_cuda_graph LIBRARY DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/recipes/ DESTINATION ${CMAKE_INSTALL_DATADIR}/chorale/recipes)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
