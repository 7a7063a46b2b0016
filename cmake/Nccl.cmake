# Target chorale::nccl, with CUDA: NCCL and the CUDA runtime out of the wheel, the very libraries torch uses, so that a
# process never holds two of either. Both start without a GPU or a driver, which they look for when first called.
if(NOT CHORALE_WITH_CUDA)
  return()
endif()

get_filename_component(chorale_wheels "${CHORALE_TORCH_ROOT}/../nvidia" ABSOLUTE)
set(chorale_nccl_library "${chorale_wheels}/nccl/lib/libnccl.so.2")
file(GLOB chorale_cudart_library "${chorale_wheels}/*/lib/libcudart.so.*")
if(CHORALE_NVCC)
  get_filename_component(chorale_toolkit "${CHORALE_NVCC}" REALPATH)
  get_filename_component(chorale_toolkit "${chorale_toolkit}" DIRECTORY)
endif()
find_path(CHORALE_CUDA_INCLUDE cuda_runtime.h HINTS ${chorale_toolkit}/../include /usr/local/cuda/include)
foreach(part chorale_nccl_library chorale_cudart_library CHORALE_CUDA_INCLUDE)
  if(NOT ${part} OR NOT EXISTS "${${part}}")
    message(FATAL_ERROR "CUDA was asked for, but NCCL, the CUDA runtime or its headers are missing (${part}: "
                        "'${${part}}', looked for in ${chorale_wheels} and beside nvcc). Run launch/setup and install a "
                        "CUDA toolkit of torch's version, or pass -DCHORALE_CUDA=OFF.")
  endif()
endforeach()

add_library(chorale_nccl INTERFACE)
target_include_directories(chorale_nccl SYSTEM INTERFACE ${chorale_wheels}/nccl/include ${CHORALE_CUDA_INCLUDE})
target_link_libraries(chorale_nccl INTERFACE ${chorale_nccl_library} ${chorale_cudart_library})
add_library(chorale::nccl ALIAS chorale_nccl)
# The loader keeps the first NCCL it meets, also for torch: ours comes before anything beside torch's own libraries.
list(PREPEND CMAKE_BUILD_RPATH ${chorale_wheels}/nccl/lib)
# Libraries the program loads by name lie beside it.
list(PREPEND CMAKE_BUILD_RPATH "$ORIGIN")
