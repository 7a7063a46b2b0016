#include "core/ensemble/prediction_share.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/base/errors.hpp"

namespace chorale {
namespace {

constexpr std::size_t kHeaderFields = 4;  // members, first, count, width

void append(std::vector<std::byte>& bytes, const void* from, std::size_t size) {
  const auto* first = static_cast<const std::byte*>(from);
  bytes.insert(bytes.end(), first, first + size);
}

// memcpy wants a place even for nothing, which an empty vector does not have.
void copy_bytes(void* to, const void* from, std::size_t size) {
  if (size > 0) std::memcpy(to, from, size);
}

}  // namespace

IndexRange share_of(std::size_t count, std::int64_t rank, std::int64_t ranks) {
  const auto position = static_cast<std::size_t>(rank);
  const auto parts = static_cast<std::size_t>(ranks);
  return {count * position / parts, count * (position + 1) / parts};
}

std::vector<std::byte> pack(const PredictionShare& share) {
  std::vector<std::byte> bytes;
  bytes.reserve(kHeaderFields * sizeof(std::uint64_t) + share.members.size() * sizeof(std::uint32_t) +
                share.values.size() * sizeof(float));
  for (const std::uint64_t field : {share.members.size(), share.first, share.count, share.width}) {
    append(bytes, &field, sizeof field);
  }
  append(bytes, share.members.data(), share.members.size() * sizeof(std::uint32_t));
  append(bytes, share.values.data(), share.values.size() * sizeof(float));
  return bytes;
}

PredictionShare unpack(std::span<const std::byte> bytes) {
  std::uint64_t header[kHeaderFields] = {};
  CHORALE_ASSERT(bytes.size() >= sizeof header, "a share of predictions has a header");
  std::memcpy(header, bytes.data(), sizeof header);
  PredictionShare share;
  share.first = header[1];
  share.count = header[2];
  share.width = header[3];
  bytes = bytes.subspan(sizeof header);
  CHORALE_ASSERT(header[0] <= bytes.size() / sizeof(std::uint32_t), "a share of predictions names its members");
  share.members.resize(header[0]);
  const std::size_t member_bytes = share.members.size() * sizeof(std::uint32_t);
  copy_bytes(share.members.data(), bytes.data(), member_bytes);
  bytes = bytes.subspan(member_bytes);
  CHORALE_ASSERT(bytes.size() == share.members.size() * share.count * share.width * sizeof(float),
                 "a share of predictions holds every value it announces");
  share.values.resize(bytes.size() / sizeof(float));
  copy_bytes(share.values.data(), bytes.data(), bytes.size());
  return share;
}

std::vector<float> assemble(std::span<const PredictionShare> shares, std::span<const std::uint32_t> members,
                            std::size_t cells, std::size_t width) {
  std::vector<float> whole(members.size() * cells * width);
  std::vector<bool> there(members.size() * cells, false);
  for (const PredictionShare& share : shares) {
    CHORALE_ASSERT(share.width == width && share.first <= cells && share.count <= cells - share.first,
                   fmt::format("a part with cells {} to {} of width {} is none of {} cells of width {}", share.first,
                               share.first + share.count, share.width, cells, width));
    for (std::size_t m = 0; m < share.members.size(); ++m) {
      const auto found = std::find(members.begin(), members.end(), share.members[m]);
      CHORALE_ASSERT(found != members.end(), fmt::format("member {} is not expected", share.members[m]));
      const std::size_t row = static_cast<std::size_t>(found - members.begin()) * cells + share.first;
      for (std::size_t cell = 0; cell < share.count; ++cell) {
        CHORALE_ASSERT(!there[row + cell], fmt::format("predictions of member {} for cell {} came twice",
                                                       share.members[m], share.first + cell));
        there[row + cell] = true;
      }
      std::copy_n(share.values.begin() + static_cast<std::ptrdiff_t>(m * share.count * width), share.count * width,
                  whole.begin() + static_cast<std::ptrdiff_t>(row * width));
    }
  }
  const auto missing = std::find(there.begin(), there.end(), false);
  if (missing != there.end()) {
    const auto index = static_cast<std::size_t>(missing - there.begin());
    CHORALE_ASSERT(
        false, fmt::format("predictions of member {} for cell {} never came", members[index / cells], index % cells));
  }
  return whole;
}

}  // namespace chorale
