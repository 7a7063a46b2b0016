# cmake --install: bin/chorale and the recipes. torch itself stays where its wheel is; see CONTRIBUTING.md.
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
install(DIRECTORY ${CMAKE_SOURCE_DIR}/recipes/ DESTINATION ${CMAKE_INSTALL_DATADIR}/chorale/recipes)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
