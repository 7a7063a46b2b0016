# Target chorale::torch: LibTorch out of the PyPI wheel. We link its libraries directly instead of using its CMake
# package, which edits global flags and insists on a CUDA toolkit whenever the wheel is a CUDA one.
set(CHORALE_PYTHON "${CMAKE_SOURCE_DIR}/.deps/venv/bin/python" CACHE FILEPATH "The interpreter whose torch is used")
if(NOT EXISTS "${CHORALE_PYTHON}")
  message(FATAL_ERROR "No interpreter with torch at ${CHORALE_PYTHON}. Run launch/setup first, "
                      "or pass -DCHORALE_PYTHON=/path/to/python whose torch is to be used.")
endif()
execute_process(
  COMMAND "${CHORALE_PYTHON}" -c
          "import importlib.util, os, sys; s = importlib.util.find_spec('torch'); s or sys.exit('It has no package torch.'); \
r = os.path.dirname(s.origin); \
v = {}; exec(open(os.path.join(r, 'version.py')).read(), v); print(r); print(v['__version__'])"
  OUTPUT_VARIABLE torch_facts ERROR_VARIABLE torch_error RESULT_VARIABLE torch_result OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT torch_result EQUAL 0)
  message(FATAL_ERROR "${CHORALE_PYTHON} gives no torch: ${torch_error}Run launch/setup, or pass -DCHORALE_PYTHON=/path/to/python "
                      "of an environment with torch 2.11.")
endif()
string(REPLACE "\n" ";" torch_facts "${torch_facts}")
list(GET torch_facts 0 CHORALE_TORCH_ROOT)
list(GET torch_facts 1 CHORALE_TORCH_VERSION)
if(NOT CHORALE_TORCH_VERSION MATCHES "^2\\.11\\.")
  message(FATAL_ERROR "torch 2.11 is needed, ${CHORALE_PYTHON} has ${CHORALE_TORCH_VERSION}. Run launch/setup, or pass "
                      "-DCHORALE_PYTHON=/path/to/python of an environment with torch 2.11.")
endif()

add_library(chorale_torch_headers INTERFACE)
# Searched last: the wheel carries a newer fmt beside its own headers, which must not win over the one we link.
target_compile_options(chorale_torch_headers INTERFACE
  "SHELL:-idirafter ${CHORALE_TORCH_ROOT}/include"
  "SHELL:-idirafter ${CHORALE_TORCH_ROOT}/include/torch/csrc/api/include")
target_compile_definitions(chorale_torch_headers INTERFACE AT_PER_OPERATOR_HEADERS)

add_library(chorale_torch INTERFACE)
target_link_libraries(chorale_torch INTERFACE chorale_torch_headers
  ${CHORALE_TORCH_ROOT}/lib/libtorch_cpu.so ${CHORALE_TORCH_ROOT}/lib/libc10.so Threads::Threads)

# CUDA: with a toolkit present the program also loads the wheel's CUDA libraries when it is to compute on a GPU (see
# core/model/device.hpp), so that the same binary runs with and without one.
find_program(CHORALE_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
if(CHORALE_CUDA STREQUAL "AUTO")
  if(CHORALE_NVCC AND EXISTS ${CHORALE_TORCH_ROOT}/lib/libtorch_cuda.so)
    set(CHORALE_WITH_CUDA ON)
  else()
    set(CHORALE_WITH_CUDA OFF)
  endif()
else()
  set(CHORALE_WITH_CUDA ${CHORALE_CUDA})
endif()
add_library(chorale::torch ALIAS chorale_torch)
