#include "launch/results/whole_checkpoint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/base/errors.hpp"
#include "core/storage/checkpoint_directory.hpp"
#include "core/storage/checkpoint_upkeep.hpp"
#include "distributed/placement.hpp"

namespace chorale {

CheckpointContent read_members(const std::vector<std::string>& files, std::int64_t first, std::int64_t count) {
  std::vector<std::uint32_t> wanted(static_cast<std::size_t>(count));
  std::iota(wanted.begin(), wanted.end(), static_cast<std::uint32_t>(first));
  CheckpointContent all;
  for (const std::string& file : files) {
    CheckpointContent content = read_checkpoint_file(file, wanted);
    all.header = std::move(content.header);
    std::move(content.members.begin(), content.members.end(), std::back_inserter(all.members));
  }
  std::sort(all.members.begin(), all.members.end(),
            [](const StoredMember& a, const StoredMember& b) { return a.member < b.member; });
  const bool complete = std::equal(all.members.begin(), all.members.end(), wanted.begin(), wanted.end(),
                                   [](const StoredMember& m, std::uint32_t number) { return m.member == number; });
  if (files.empty() || !complete) {
    throw InputError(fmt::format(
        "{}: this checkpoint does not hold each of the members {} to {} exactly once. Use another checkpoint.",
        files.empty() ? std::string("no file") : files.front(), first, first + count - 1));
  }
  return all;
}

void write_whole_checkpoint(CheckpointHeader header, const std::vector<const StoredMember*>& members,
                            const Recipe& recipe, std::int64_t step, const std::string& checkpoints) {
  header.recipe = resolved_yaml(recipe);
  header.placement = to_json(place(recipe.ensemble.members, 1, std::nullopt)).dump();
  header.step = step;
  std::vector<MemberToStore> stored;
  for (const StoredMember* member : members) {
    stored.push_back({static_cast<std::uint32_t>(stored.size()), member->parameters, member->first_moment,
                      member->second_moment, member->progress, member->best, member->continued});
  }
  check_free_space(checkpoints, estimate_checkpoint_bytes(header, stored));
  const std::string unfinished = begin_checkpoint(checkpoints, step);
  write_checkpoint_file(unfinished + "/" + group_file_name(0), header, stored);
  commit_checkpoint(checkpoints, step, 1);
}

}  // namespace chorale
