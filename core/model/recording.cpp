#include "core/model/recording.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include "core/base/errors.hpp"

namespace chorale {
namespace {

class RepeatedCall : public Recording {
 public:
  void rehearse(const std::function<void()>& work) override { work(); }
  void record(std::function<void()> work) override { work_ = std::move(work); }
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

#ifdef CHORALE_CUDA_GRAPH_LIBRARY
MakeGraphRecording graph_maker() {
  // Beside the program (its RUNPATH says so); linked to torch's CUDA libraries, which the program itself is not.
  void* const library = dlopen(CHORALE_CUDA_GRAPH_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  void* const symbol = library == nullptr ? nullptr : dlsym(library, "chorale_make_graph_recording");
  if (symbol == nullptr) {
    const char* reason = dlerror();
    throw UsageError(fmt::format("{} cannot be loaded: {}. Keep it beside the program, as the build puts it.",
                                 CHORALE_CUDA_GRAPH_LIBRARY, reason == nullptr ? "no reason given" : reason));
  }
  return reinterpret_cast<MakeGraphRecording>(symbol);
}
#endif

}  // namespace

std::unique_ptr<Recording> make_recording(c10::Device device) {
#ifdef CHORALE_CUDA_GRAPH_LIBRARY
  if (device.is_cuda()) {
    static const MakeGraphRecording make = graph_maker();
    return std::unique_ptr<Recording>(make());
  }
#endif
  CHORALE_ASSERT(!device.is_cuda(), "a device of CUDA was chosen in a build without it");
  return std::make_unique<RepeatedCall>();
}

}  // namespace chorale
