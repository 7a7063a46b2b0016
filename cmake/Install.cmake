# cmake --install: bin/chorale and the recipes. torch itself stays where its wheel is; see CONTRIBUTING.md.
include(GNUInstallDirs)
install(TARGETS chorale RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/recipes/ DESTINATION ${CMAKE_INSTALL_DATADIR}/chorale/recipes)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
