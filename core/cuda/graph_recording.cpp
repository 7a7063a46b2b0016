// The only file linked to torch's CUDA libraries: a shared library of its own, loaded when a GPU is used.
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/model/recording.hpp"

namespace chorale {
namespace {

// Temporaries of all recordings of this process: they are never replayed at the same time, and nothing of theirs
// outlives a replay.
at::cuda::MempoolId_t shared_pool() {
  static const at::cuda::MempoolId_t pool = at::cuda::graph_pool_handle();
  return pool;
}

class GraphRecording : public Recording {
 public:
  void rehearse(const std::function<void()>& work) override {
    on_side_stream([&](c10::cuda::CUDAStream stream) {
      namespace allocator = c10::cuda::CUDACachingAllocator;
      // The filter is asked for every allocation of the device: those of the autograd engine's threads are on this
      // stream too.
      allocator::beginAllocateToPool(stream.device_index(), shared_pool(),
                                     [stream](cudaStream_t asking) { return asking == stream.stream(); });
      try {
        work();
      } catch (...) {
        allocator::endAllocateToPool(stream.device_index(), shared_pool());
        allocator::releasePool(stream.device_index(), shared_pool());
        throw;
      }
      allocator::endAllocateToPool(stream.device_index(), shared_pool());
      // Its memory stays with the pool as long as a graph uses it; until there is one, this keeps it.
      if (kept_) {
        allocator::releasePool(stream.device_index(), shared_pool());
      } else {
        kept_ = true;
      }
    });
  }

  void record(std::function<void()> work) override {
    on_side_stream([&](c10::cuda::CUDAStream) {
      // Only this thread's calls are held to what may be recorded: the watchdog's and NCCL's threads go on.
      graph_.capture_begin(shared_pool(), cudaStreamCaptureModeThreadLocal);
      try {
        work();
      } catch (...) {
        graph_.capture_end();
        throw;
      }
      graph_.capture_end();
    });
  }

  void replay() override { graph_.replay(); }

 private:
  // Capturing is not allowed on the default stream. What was queued before comes first, what is queued later waits.
  template <typename Work>
  static void on_side_stream(const Work& work) {
    const c10::cuda::CUDAStream current = c10::cuda::getCurrentCUDAStream();
    static const c10::cuda::CUDAStream side = c10::cuda::getStreamFromPool(/*isHighPriority=*/false);
    at::cuda::CUDAEvent before;
    before.record(current);
    {
      const c10::cuda::CUDAStreamGuard guard(side);
      before.block(side);
      work(side);
    }
    at::cuda::CUDAEvent after;
    after.record(side);
    after.block(current);
  }

  static inline bool kept_ = false;
  at::cuda::CUDAGraph graph_;
};

}  // namespace
}  // namespace chorale

extern "C" chorale::Recording* chorale_make_graph_recording() {
  return new chorale::GraphRecording();
}
