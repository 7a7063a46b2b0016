// An open file that is closed on every way out.
#pragma once

#include <unistd.h>

#include <utility>

namespace chorale {

/// Move-only owner of a file descriptor; holds none after construction without a value.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }

  [[nodiscard]] int get() const { return value_; }
  /// What close() returns: network file systems report a failed write as late as there, so writers check it.
  int close() { return ::close(std::exchange(value_, -1)); }

 private:
  int value_ = -1;
};

}  // namespace chorale
