// Steps cut into passes: they fit, they are as large as they can be, and together they are the step.
#include "core/training/pass_plan.hpp"

#include <map>

#include "support/catch.hpp"
#include "support/tensors.hpp"
#include "support/tiny_run.hpp"

using namespace chorale;
using namespace chorale::test;

TEST_CASE("passes fit the rows there are and could not be larger") {
  for (std::int64_t members = 1; members <= 9; ++members) {
    for (std::int64_t batch = 1; batch <= 5; ++batch) {
      for (std::int64_t rows = 0; rows <= 200; rows += 7) {
        const std::int64_t longest = 6;
        const PassSize size = largest_passes(members, batch, longest, rows);
        const std::int64_t used = size.members * size.examples * longest;
        REQUIRE(size.members >= 1);
        REQUIRE(size.examples >= 1);
        if (rows == 0) CHECK((size.members == members && size.examples == batch));
        if (rows == 0 || used <= longest) continue;
        CHECK(used <= rows);
        // Batches are parted only where not even one fits, and slices are no more than are needed.
        if (size.examples < batch) CHECK(batch * longest > rows);
        const std::int64_t slices = (members + size.members - 1) / size.members;
        if (size.examples == batch && slices > 1) {
          const std::int64_t wider = (members + slices - 2) / (slices - 1);
          CHECK(wider * batch * longest > rows);
        }
      }
    }
  }
}

TEST_CASE("passes together hold every example of every member once, in order") {
  const std::vector<std::vector<std::size_t>> step = {{5, 1, 9}, {}, {2, 7}, {3, 4, 8, 6}};
  for (std::int64_t members = 1; members <= 4; ++members) {
    for (std::int64_t examples = 1; examples <= 4; ++examples) {
      std::vector<std::vector<std::size_t>> seen(4);
      for (const auto& pass : cut_into_passes(step, {members, examples})) {
        REQUIRE(pass.size() == 4);
        std::size_t busy = 0;
        std::size_t all = 0;
        for (std::size_t m = 0; m < 4; ++m) {
          if (!pass[m].empty()) ++busy;
          CHECK(pass[m].size() <= static_cast<std::size_t>(examples));
          all += pass[m].size();
          seen[m].insert(seen[m].end(), pass[m].begin(), pass[m].end());
        }
        CHECK(busy <= static_cast<std::size_t>(members));
        CHECK(all > 0);
      }
      CHECK(seen == step);
    }
  }
  CHECK(cut_into_passes({{}, {}}, {2, 2}).empty());
}

TEST_CASE("slices of members and parts of batches give the whole step's gradients") {
  for (const TinyTask& task : {TinyTask{TaskKind::multiple_choice, Scoring::label_token},
                               TinyTask{TaskKind::multiple_choice, Scoring::option_likelihood},
                               TinyTask{TaskKind::completion, Scoring::label_token}}) {
    TinyRunOptions options;
    options.task = task;
    TinyRun whole(options);
    whole.trainer().compute_gradients(1);
    for (const PassSize size : {PassSize{1, 4}, PassSize{2, 4}, PassSize{3, 1}, PassSize{1, 3}}) {
      options.pass_size = size;
      TinyRun cut(options);
      CHECK(cut.trainer().pass_size().members == size.members);
      cut.trainer().compute_gradients(1);
      CHECK(difference(cut.bank().gradients(), whole.bank().gradients()) < 1e-13);
    }
  }
}
