// What runs out of memory says how much was needed, in the words of torch's allocators as they really are.
#include "distributed/failure.hpp"

#include <new>
#include <stdexcept>

#include "support/catch.hpp"
#include "support/input_error.hpp"

using namespace chorale;
using test::contains;

namespace {

template <typename Problem>
Failure failure_from(const Problem& problem) {
  return failure_of(std::make_exception_ptr(problem));
}

}  // namespace

TEST_CASE("the CPU allocator's complaint names the bytes and the keys") {
  const Failure failure = failure_from(std::runtime_error(
      "[enforce fail at alloc_cpu.cpp:126] data. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
      "4000000000000 bytes. Error code 12 (Cannot allocate memory)\nframe #0: c10::alloc_cpu"));
  CHECK(failure.code == ExitCode::usage);
  CHECK_THAT(failure.message, contains("out of memory: 4000.00 GB more were needed. Lower "));
  CHECK_THAT(failure.message, contains("training.micro_batch_size") && contains("training.prefix_cache: off"));
  CHECK(failure.message.find("frame") == std::string::npos);
}

TEST_CASE("the GPU allocator's complaint names the GPU, what it has and what was needed") {
  const Failure failure = failure_from(std::runtime_error(
      "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 512.00 MiB is "
      "free. Including non-PyTorch memory, this process has 78.60 GiB memory in use. Of the allocated memory ..."));
  CHECK(failure.code == ExitCode::usage);
  CHECK_THAT(failure.message, contains("out of memory on the GPU: 2.00 GiB more were needed, and GPU 0 has a total "
                                       "capacity of 79.11 GiB of which 512.00 MiB is free. Lower "));
  CHECK_THAT(failure.message, contains("base.dtype: nf4."));
}

TEST_CASE("without a number the keys are named all the same") {
  for (const Failure& failure :
       {failure_from(std::bad_alloc()), failure_from(std::runtime_error("CUDA error: out of memory")),
        failure_from(std::runtime_error("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))}) {
    CHECK(failure.code == ExitCode::usage);
    CHECK_THAT(failure.message, contains("out of memory. Lower training.micro_batch_size"));
  }
}

TEST_CASE("anything else is our bug") {
  CHECK(failure_from(std::runtime_error("index out of range")).code == ExitCode::internal);
  CHECK(failure_from(5).code == ExitCode::internal);
}
