// A small checkpoint of two members, every number in it different from every other.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "core/storage/checkpoint_file.hpp"

namespace chorale::test {

inline CheckpointContent checkpoint_content(std::int64_t step = 100) {
  CheckpointContent content;
  content.header.recipe = "name: \"ä\"\nseed: 1\n";
  content.header.placement = R"({"members": 2, "ranks": 1})";
  content.header.base_fingerprint = std::string(64, 'a');
  content.header.step = step;
  content.header.scale = 2.0 / 3.0;
  content.header.factors = {{"model.layers.0.self_attn.q_proj", 'A', 2, 5},
                            {"model.layers.0.self_attn.v_proj", 'A', 2, 5},
                            {"model.layers.0.self_attn.q_proj", 'B', 7, 2},
                            {"model.layers.0.self_attn.v_proj", 'B', 3, 2}};
  float next = static_cast<float>(step) * 1000.0F;
  const auto numbers = [&] {
    std::vector<float> values(content.header.parameters());
    for (float& value : values) value = (next += 0.5F);
    return values;
  };
  for (const std::uint32_t number : {3U, 1000U}) {
    StoredMember member;
    member.member = number;
    member.parameters = numbers();
    member.first_moment = numbers();
    member.second_moment = numbers();
    content.members.push_back(std::move(member));
  }
  content.members[0].progress = {
      step - 1, true, false, -1, step / 2, 0.25, 1, 70 * step, {1, 1.25, 0.5, 7.0, 60, 1e-4}};
  content.members[1].progress = {step / 2, false, true, step / 2, -1, 0.0, 0, 40 * step, {}};
  content.members[0].best = numbers();
  content.members[1].continued = numbers();
  return content;
}

/// Every value of both is the other's; none of ours is NaN.
inline bool same_content(const CheckpointContent& one, const CheckpointContent& other) {
  const auto same_member = [](const StoredMember& a, const StoredMember& b) {
    return a.member == b.member && a.parameters == b.parameters && a.first_moment == b.first_moment &&
           a.second_moment == b.second_moment && a.progress == b.progress && a.best == b.best &&
           a.continued == b.continued;
  };
  return one.header.recipe == other.header.recipe && one.header.placement == other.header.placement &&
         one.header.base_fingerprint == other.header.base_fingerprint && one.header.step == other.header.step &&
         one.header.scale == other.header.scale && one.header.factors == other.header.factors &&
         std::equal(one.members.begin(), one.members.end(), other.members.begin(), other.members.end(), same_member);
}

inline void write_content_to(const std::string& path, const CheckpointContent& content) {
  std::vector<MemberToStore> members;
  for (const StoredMember& member : content.members) {
    members.push_back({member.member, member.parameters, member.first_moment, member.second_moment, member.progress,
                       member.best, member.continued});
  }
  write_checkpoint_file(path, content.header, members);
}

}  // namespace chorale::test
