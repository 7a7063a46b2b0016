// The fingerprint of a run's base, computed while the run starts.
#pragma once

#include <future>
#include <string>
#include <thread>

#include "core/weights/base_files.hpp"
#include "distributed/world.hpp"

namespace chorale {

/// Hashing gigabytes takes seconds, and nobody needs the result before there is a checkpoint to write or to read: rank
/// 0 hashes in a thread of its own, beside the loading of the weights and the first steps.
class BaseFingerprint {
 public:
  /// Begins. What is referred to must outlive this. Not collective.
  BaseFingerprint(const BaseFiles& base, World& world);
  BaseFingerprint(const BaseFingerprint&) = delete;
  BaseFingerprint& operator=(const BaseFingerprint&) = delete;
  /// Breaks off what nobody waits for any more.
  ~BaseFingerprint() = default;

  /// BaseFiles::fingerprint() on every rank, when it is there. Collective, also when it is known already. What went
  /// wrong on rank 0 is thrown on all ranks.
  [[nodiscard]] const std::string& get();

 private:
  World& world_;
  std::promise<std::string> promise_;
  std::future<std::string> computed_;  // on rank 0
  std::string known_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace chorale
