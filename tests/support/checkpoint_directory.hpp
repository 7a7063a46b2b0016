// Checkpoints of two groups in a directory of their own.
#pragma once

#include <cstdint>
#include <string>

#include "core/storage/checkpoint_directory.hpp"
#include "support/catch.hpp"
#include "support/checkpoint_content.hpp"
#include "support/scratch_directory.hpp"

namespace chorale::test {

// A directory `checkpoints` that does not exist yet.
class Checkpoints {
 public:
  [[nodiscard]] std::string path() const { return scratch_.file("checkpoints"); }
  [[nodiscard]] std::string file(const std::string& name) const { return path() + "/" + name; }

  // The files of two groups, as far as a crash lets them come.
  void write_groups(std::int64_t step, std::int64_t groups = 2) const {
    const std::string directory = begin_checkpoint(path(), step);
    for (std::int64_t group = 0; group < groups; ++group) {
      write_content_to(directory + "/" + group_file_name(group), checkpoint_content(step + group));
    }
  }
  void commit(std::int64_t step) const {
    write_groups(step);
    commit_checkpoint(path(), step, 2);
  }
  // The step a reader finds, -1 for none; what it finds must be readable.
  [[nodiscard]] std::int64_t found() const {
    const CheckpointSearch search = find_latest_valid(path());
    if (!search.found) return -1;
    CHECK(search.found->files.size() == 2);
    CHECK(read_checkpoint_file(search.found->files[0]).header.step == search.found->step);
    return search.found->step;
  }
  [[nodiscard]] std::string problem() const {
    const CheckpointSearch search = find_latest_valid(path());
    return search.problems.empty() ? "no problem" : search.problems[0];
  }

 private:
  ScratchDirectory scratch_;
};

}  // namespace chorale::test
