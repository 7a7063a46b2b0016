# Libraries from the distribution. What is missing is named by its Debian package.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(nlohmann_json 3.9 REQUIRED)  # nlohmann-json3-dev
find_package(CLI11 REQUIRED)              # libcli11-dev
find_package(fmt REQUIRED)                # libfmt-dev
find_package(spdlog REQUIRED)             # libspdlog-dev
find_package(yaml-cpp REQUIRED)           # libyaml-cpp-dev
find_package(OpenSSL REQUIRED COMPONENTS Crypto)  # libssl-dev
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)  # libpcre2-dev
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)  # libutf8proc-dev
set(HDF5_PREFER_PARALLEL OFF)
find_package(HDF5 REQUIRED COMPONENTS C)  # libhdf5-dev
find_package(MPI REQUIRED COMPONENTS C)  # libopenmpi-dev, openmpi-bin
if(NOT TARGET yaml-cpp::yaml-cpp)
  add_library(yaml-cpp::yaml-cpp ALIAS yaml-cpp)
endif()
