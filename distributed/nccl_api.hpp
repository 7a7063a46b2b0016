// Inside this folder: the NCCL calls that are made, so that tests can stand in for the library.
#pragma once

#include <nccl.h>

#include <cstddef>

namespace chorale::nccl {

/// Each method is the function of NCCL with that name. A call returns ncclInProgress when it goes on by itself; `comm`
/// of init may then be set by another thread.
class Api {
 public:
  Api() = default;
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;
  virtual ~Api() = default;

  virtual ncclResult_t get_unique_id(ncclUniqueId* id) = 0;
  virtual ncclResult_t init_rank(ncclComm_t* comm, int ranks, const ncclUniqueId& id, int rank,
                                 ncclConfig_t* config) = 0;
  virtual ncclResult_t async_error(ncclComm_t comm, ncclResult_t* state) = 0;
  virtual ncclResult_t all_reduce_sum(void* data, std::size_t count, ncclDataType_t type, ncclComm_t comm,
                                      cudaStream_t stream) = 0;
  virtual ncclResult_t broadcast(void* data, std::size_t bytes, int root, ncclComm_t comm, cudaStream_t stream) = 0;
  virtual ncclResult_t finalize(ncclComm_t comm) = 0;
  virtual ncclResult_t destroy(ncclComm_t comm) = 0;
  virtual ncclResult_t abort(ncclComm_t comm) = 0;
  virtual const char* error_string(ncclResult_t result) = 0;
  virtual const char* last_error() = 0;
};

/// The NCCL this program is linked with.
[[nodiscard]] Api& library();

}  // namespace chorale::nccl
