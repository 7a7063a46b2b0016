#include "core/base/random.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

namespace chorale {

RandomStream::RandomStream(std::uint64_t seed, std::uint32_t member, Purpose purpose, std::uint64_t index)
    : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32U)},
      base_{0U, member << 8U, static_cast<std::uint32_t>(index),
            static_cast<std::uint32_t>(index >> 32U) | (static_cast<std::uint32_t>(purpose) << 16U)} {
  CHORALE_ASSERT(member <= kMaxMember, "a member number has 24 bits in the random generator");
  CHORALE_ASSERT(index <= kMaxIndex, "an index has 48 bits in the random generator");
  CHORALE_ASSERT(static_cast<std::uint32_t>(purpose) < 0x10000U, "a purpose has 16 bits in the random generator");
}

void RandomStream::fill_uniform(std::span<float> out, float low, float high, std::uint64_t first_counter) const {
  CHORALE_ASSERT(low < high, "an empty interval to draw from");
  const float width = high - low;
  const float largest = std::nextafter(high, low);  // low + width * u may round up to high
  for (std::size_t start = 0; start < out.size(); start += 4) {
    const philox::Block words = block(first_counter + start / 4);
    const std::size_t count = std::min<std::size_t>(4, out.size() - start);
    for (std::size_t i = 0; i < count; ++i) {
      out[start + i] = std::min(low + width * uniform_float(words[i]), largest);
    }
  }
}

std::vector<std::uint32_t> RandomStream::permutation(std::uint32_t n) const {
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0U);
  RandomSequence sequence(*this);
  for (std::uint32_t last = n; last > 1; --last) std::swap(order[last - 1], order[sequence.below(last)]);
  return order;
}

std::uint32_t RandomSequence::below(std::uint32_t n) {
  CHORALE_ASSERT(n > 0, "no integer lies below zero");
  std::uint64_t product = std::uint64_t{next()} * n;
  if (static_cast<std::uint32_t>(product) < n) {
    const std::uint32_t threshold = (0U - n) % n;  // 2^32 mod n
    while (static_cast<std::uint32_t>(product) < threshold) product = std::uint64_t{next()} * n;
  }
  return static_cast<std::uint32_t>(product >> 32U);
}

}  // namespace chorale
