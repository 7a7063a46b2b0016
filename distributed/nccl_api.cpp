#include "distributed/nccl_api.hpp"

namespace chorale::nccl {
namespace {

class Library : public Api {
 public:
  ncclResult_t get_unique_id(ncclUniqueId* id) override { return ncclGetUniqueId(id); }
  ncclResult_t init_rank(ncclComm_t* comm, int ranks, const ncclUniqueId& id, int rank, ncclConfig_t* config) override {
    return ncclCommInitRankConfig(comm, ranks, id, rank, config);
  }
  ncclResult_t async_error(ncclComm_t comm, ncclResult_t* state) override { return ncclCommGetAsyncError(comm, state); }
  ncclResult_t all_reduce_sum(void* data, std::size_t count, ncclDataType_t type, ncclComm_t comm,
                              cudaStream_t stream) override {
    return ncclAllReduce(data, data, count, type, ncclSum, comm, stream);
  }
  ncclResult_t broadcast(void* data, std::size_t bytes, int root, ncclComm_t comm, cudaStream_t stream) override {
    return ncclBroadcast(data, data, bytes, ncclUint8, root, comm, stream);
  }
  ncclResult_t finalize(ncclComm_t comm) override { return ncclCommFinalize(comm); }
  ncclResult_t destroy(ncclComm_t comm) override { return ncclCommDestroy(comm); }
  ncclResult_t abort(ncclComm_t comm) override { return ncclCommAbort(comm); }
  const char* error_string(ncclResult_t result) override { return ncclGetErrorString(result); }
  const char* last_error() override { return ncclGetLastError(nullptr); }
};

}  // namespace

Api& library() {
  static Library loaded;
  return loaded;
}

}  // namespace chorale::nccl
