message(STATUS "Chorale ${PROJECT_VERSION}: ${CMAKE_BUILD_TYPE}, torch ${CHORALE_TORCH_VERSION}, CUDA ${CHORALE_WITH_CUDA}, "
               "HDF5 ${HDF5_VERSION}, warnings as errors ${CHORALE_WERROR}, sanitizers '${CHORALE_SANITIZE}', tests ${CHORALE_TESTS}")
