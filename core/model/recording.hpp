// Device work that is issued once and repeated.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>

namespace chorale {

/// A stretch of device work at fixed addresses: recorded once, then repeated without the host's part in it. On a GPU a
/// CUDA graph; elsewhere the plain twin, which calls the work again.
///
/// What `work` reads and writes besides its temporaries must exist before and stay where it is: fill the same tensors
/// anew between two replays. It must wait for nothing and move nothing between host and device. Recordings of one
/// device share the memory of their temporaries and are replayed one at a time, on the current stream.
class Recording {
 public:
  Recording() = default;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  virtual ~Recording() = default;

  /// Runs `work` as it is, with temporaries from the recordings' memory: libraries prepare what they need at the first
  /// call of a shape, which cannot be recorded.
  virtual void rehearse(const std::function<void()>& work) = 0;
  /// Records `work` without running it.
  virtual void record(std::function<void()> work) = 0;
  virtual void replay() = 0;
};

/// For work on `device`. A GPU's recordings come out of a library that is loaded with CUDA (see device.hpp).
[[nodiscard]] std::unique_ptr<Recording> make_recording(c10::Device device);

/// What the CUDA library exports under the name chorale_make_graph_recording.
using MakeGraphRecording = Recording* (*)();

}  // namespace chorale
