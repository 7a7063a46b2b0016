if(TARGET chorale_cuda)
  list(JOIN CHORALE_CUDA_ARCHITECTURES " " kernels_for)
  set(kernels_for " (kernels for ${kernels_for})")
endif()
message(STATUS "Chorale ${PROJECT_VERSION}: ${CMAKE_BUILD_TYPE}, torch ${CHORALE_TORCH_VERSION}, CUDA ${CHORALE_WITH_CUDA}${kernels_for}, "
               "HDF5 ${HDF5_VERSION}, warnings as errors ${CHORALE_WERROR}, sanitizers '${CHORALE_SANITIZE}', tests ${CHORALE_TESTS}")
