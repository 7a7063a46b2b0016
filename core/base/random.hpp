// Random numbers addressed by meaning instead of drawn in turn: Philox 4x32-10.
// Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
//
// Every number is a function of (run seed, member, purpose, index, counter). No thread, rank or call order enters, so a
// run on 1, 2 or 8 ranks, or after a resume, draws the same numbers.
//
// The five parts are laid side by side in Philox's 64 key bits and 128 counter bits:
//   key      word 0, 1           seed (64)
//   counter  word 0              counter, low 32 bits
//            word 1, bits 0-7    counter, high 8 bits
//            word 1, bits 8-31   member (24)
//            word 2              index, low 32 bits
//            word 3, bits 0-15   index, high 16 bits
//            word 3, bits 16-31  purpose (16)
// Nothing is hashed, so two different meanings never share a block; values that do not fit are refused. For one key
// Philox is a bijection of the counter, so within a run all blocks are distinct.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/errors.hpp"

namespace chorale {

/// What the numbers are for. The values enter the generator: never renumber one, only add.
enum class Purpose : std::uint32_t {
  initialisation = 1,  // adapter factors; index: the adapter's site
  data_order = 2,      // index: the epoch
  dropout = 3,         // index: made of step and site
  bootstrap = 4,       // index: the resample
  sampling = 5,        // drawing tokens; index: the example
  shuffle = 6,         // any other ordering
  test = 7,            // for tests and benchmarks
};

namespace philox {

using Block = std::array<std::uint32_t, 4>;
using Key = std::array<std::uint32_t, 2>;

/// Ten rounds of Philox 4x32 on `counter` under `key`.
[[nodiscard]] constexpr Block block(Block counter, Key key) noexcept {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53U;
  constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57U;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9U;  // golden ratio
  constexpr std::uint32_t kWeyl1 = 0xBB67AE85U;  // sqrt(3) - 1
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32U) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32U) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(product0)};
    key = {key[0] + kWeyl0, key[1] + kWeyl1};
  }
  return counter;
}

}  // namespace philox

/// Uniform in [0, 1) on a grid of 2^-24: every value is exact in float.
[[nodiscard]] constexpr float uniform_float(std::uint32_t bits) noexcept {
  return static_cast<float>(bits >> 8U) * 0x1.0p-24F;
}

/// Uniform in [0, 1) on a grid of 2^-53, from two words.
[[nodiscard]] constexpr double uniform_double(std::uint32_t high, std::uint32_t low) noexcept {
  const std::uint64_t bits = (static_cast<std::uint64_t>(high) << 21U) | (low >> 11U);
  return static_cast<double>(bits) * 0x1.0p-53;
}

/// All numbers of one meaning, with random access. Immutable, a few words large, free to copy across threads.
class RandomStream {
 public:
  static constexpr std::uint64_t kMaxCounter = (std::uint64_t{1} << 40U) - 1;
  static constexpr std::uint64_t kMaxIndex = (std::uint64_t{1} << 48U) - 1;
  static constexpr std::uint32_t kMaxMember = (std::uint32_t{1} << 24U) - 1;

  /// `index` is a step, epoch, site or example, as the purpose says. Asserts member < 2^24, index < 2^48.
  RandomStream(std::uint64_t seed, std::uint32_t member, Purpose purpose, std::uint64_t index);

  /// Four words for `counter` < 2^40.
  [[nodiscard]] philox::Block block(std::uint64_t counter) const {
    CHORALE_ASSERT(counter <= kMaxCounter, "a random stream has 2^40 blocks");
    return philox::block({static_cast<std::uint32_t>(counter), base_[1] | static_cast<std::uint32_t>(counter >> 32U),
                          base_[2], base_[3]},
                         key_);
  }

  /// Word `position` of the stream: word position % 4 of block position / 4.
  [[nodiscard]] std::uint32_t word(std::uint64_t position) const { return block(position / 4)[position % 4]; }

  /// out[i] uniform in [low, high), made from word i % 4 of block first_counter + i / 4. Filling in pieces that start
  /// at multiples of four elements gives the same values as filling at once. Asserts low < high.
  void fill_uniform(std::span<float> out, float low, float high, std::uint64_t first_counter = 0) const;

  /// A uniformly random order of 0..n-1 (Fisher-Yates from the end, words from position 0).
  [[nodiscard]] std::vector<std::uint32_t> permutation(std::uint32_t n) const;

 private:
  philox::Key key_;
  philox::Block base_;  // counter words with the block counter left zero
};

/// Reads a stream in order, for draws whose number is not known beforehand.
class RandomSequence {
 public:
  explicit RandomSequence(const RandomStream& stream) : stream_(stream) {}

  [[nodiscard]] std::uint32_t next() {
    if (position_ % 4 == 0) block_ = stream_.block(position_ / 4);
    return block_[position_++ % 4];
  }
  [[nodiscard]] float next_float() { return uniform_float(next()); }
  [[nodiscard]] double next_double() {
    const std::uint32_t high = next();
    return uniform_double(high, next());
  }
  /// Uniform in 0..n-1 without bias: draws that would favour small values are thrown away (Lemire 2019). Asserts n > 0.
  [[nodiscard]] std::uint32_t below(std::uint32_t n);

 private:
  RandomStream stream_;
  std::uint64_t position_ = 0;
  philox::Block block_{};
};

}  // namespace chorale
