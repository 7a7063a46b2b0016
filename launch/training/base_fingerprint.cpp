#include "launch/training/base_fingerprint.hpp"

#include <exception>
#include <stop_token>

namespace chorale {

BaseFingerprint::BaseFingerprint(const BaseFiles& base, World& world)
    : world_(world), computed_(promise_.get_future()) {
  if (!world.is_root()) return;
  thread_ = std::jthread([this, &base](const std::stop_token& stop) {
    try {
      promise_.set_value(base.fingerprint_until(stop));
    } catch (...) {
      promise_.set_exception(std::current_exception());
    }
  });
}

const std::string& BaseFingerprint::get() {
  if (known_.empty()) {
    world_.on_root([&] { known_ = computed_.get(); });
    known_ = world_.broadcast(known_);
  }
  return known_;
}

}  // namespace chorale
