# Target chorale_cuda: our own kernels (core/kernels/cuda), where nvcc is there and torch's wheel is one with CUDA. A library of
# its own, because nvcc takes neither our warnings nor torch's headers. CMake 3.25 does not know C++20 for nvcc 13; the
# files are C++17.
if(NOT CHORALE_WITH_CUDA OR NOT CHORALE_NVCC)
  return()
endif()
set(CHORALE_CUDA_ARCHITECTURES "80-real;90" CACHE STRING "What the kernels are compiled for; the last also as PTX for newer GPUs")
set(CMAKE_CUDA_COMPILER "${CHORALE_NVCC}")
set(CMAKE_CUDA_ARCHITECTURES "${CHORALE_CUDA_ARCHITECTURES}")
set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # the wheel's own, as for NCCL: a process holds one
set(CMAKE_CUDA_COMPILER_LAUNCHER "${CMAKE_CXX_COMPILER_LAUNCHER}")
enable_language(CUDA)

file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/core/kernels/cuda/*.cu)
add_library(chorale_cuda STATIC ${cuda_sources})
set_target_properties(chorale_cuda PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON POSITION_INDEPENDENT_CODE ON)
target_include_directories(chorale_cuda PUBLIC ${CMAKE_SOURCE_DIR})
target_compile_options(chorale_cuda PRIVATE -O3 "-Xcompiler=-Wall,-Wextra,-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
if(CHORALE_WERROR)
  target_compile_options(chorale_cuda PRIVATE -Werror=all-warnings)
endif()
target_link_libraries(chorale_cuda INTERFACE ${chorale_cudart_library})
