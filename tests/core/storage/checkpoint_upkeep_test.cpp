#include "core/storage/checkpoint_upkeep.hpp"

#include <algorithm>
#include <filesystem>

#include "core/base/errors.hpp"
#include "support/catch.hpp"
#include "support/checkpoint_directory.hpp"
#include "support/input_error.hpp"

using namespace chorale;
using test::Checkpoints;
using test::contains;
using test::content_of;
using test::write_content;
namespace fs = std::filesystem;

namespace {

using Names = std::vector<std::string>;

Names names_in(const Checkpoints& checkpoints) {
  Names names;
  for (const auto& entry : fs::directory_iterator(checkpoints.path())) {
    if (entry.path().filename() != "LATEST") names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("a purge keeps the newest finished checkpoints and takes what dead runs left") {
  const Checkpoints checkpoints;
  CHECK(purge_checkpoints(checkpoints.path(), 1).empty());  // there is no such directory
  for (const std::int64_t step : {400, 100, 300, 200}) checkpoints.commit(step);
  fs::create_directories(checkpoints.file("step_00000500.tmp/deeper"));
  write_content(checkpoints.file("step_00000500.tmp/deeper/file"), "x");
  write_content(checkpoints.file("LATEST.77.tmp"), "x");
  fs::create_directories(checkpoints.file("step_00000090.purged.tmp"));
  fs::create_directories(checkpoints.file("step_00000400.replaced"));
  fs::create_directories(checkpoints.file("step_00000050.replaced"));  // its replacement never came
  fs::create_directories(checkpoints.file("mine"));
  CHECK(purge_checkpoints(checkpoints.path(), 9).empty());
  CHECK(names_in(checkpoints) ==
        Names{"mine", "step_00000050.replaced", "step_00000100", "step_00000200", "step_00000300", "step_00000400"});
  CHECK(purge_checkpoints(checkpoints.path(), 2).empty());
  CHECK(names_in(checkpoints) == Names{"mine", "step_00000050.replaced", "step_00000300", "step_00000400"});
  CHECK(purge_checkpoints(checkpoints.path(), 2).empty());
  CHECK(purge_checkpoints(checkpoints.path(), 1).empty());
  CHECK(names_in(checkpoints) == Names{"mine", "step_00000050.replaced", "step_00000400"});
  CHECK(checkpoints.found() == 400);
}

TEST_CASE("what is not finished is not counted by a purge, so the last good checkpoint stays") {
  const Checkpoints checkpoints;
  for (const std::int64_t step : {100, 200, 300}) checkpoints.commit(step);
  fs::remove(checkpoints.file("step_00000200/manifest.json"));
  fs::resize_file(checkpoints.file("step_00000300/group_001.h5"), 1000);
  CHECK(purge_checkpoints(checkpoints.path(), 1).empty());
  CHECK(checkpoints.found() == 100);
  CHECK(names_in(checkpoints) == Names{"step_00000100", "step_00000200", "step_00000300"});
}

TEST_CASE("links in leftovers are removed, not followed") {
  const Checkpoints checkpoints;
  checkpoints.commit(100);
  fs::create_directories(checkpoints.file("step_00000200.tmp"));
  fs::create_directory_symlink(checkpoints.file("step_00000100"), checkpoints.file("step_00000200.tmp/link"));
  fs::create_directory_symlink(checkpoints.file("step_00000100"), checkpoints.file("link.tmp"));
  CHECK(purge_checkpoints(checkpoints.path(), 1).empty());
  CHECK(names_in(checkpoints) == Names{"step_00000100"});
  CHECK(checkpoints.found() == 100);
}

TEST_CASE("a damaged checkpoint set aside is neither counted nor lost") {
  const Checkpoints checkpoints;
  for (int round = 0; round < 3; ++round) {
    checkpoints.commit(100);
    checkpoints.commit(200);
    write_content(checkpoints.file("step_00000200/group_000.h5"), std::string(static_cast<std::size_t>(round), 'x'));
    const CheckpointSearch search = find_latest_valid(checkpoints.path());
    REQUIRE(search.found);
    CHECK(search.found->step == 100);
    CHECK(search.damaged == Names{checkpoints.file("step_00000200")});
    static_cast<void>(set_aside(search.damaged[0]));
  }
  CHECK(names_in(checkpoints) ==
        Names{"step_00000100", "step_00000200.damaged", "step_00000200.damaged.2", "step_00000200.damaged.3"});
  CHECK(content_of(checkpoints.file("step_00000200.damaged.3/group_000.h5")) == "xx");
  CHECK(purge_checkpoints(checkpoints.path(), 1).empty());
  CHECK(names_in(checkpoints).size() == 4);
  CHECK_THROWS_AS(set_aside(checkpoints.file("step_00000900")), StorageError);
}

TEST_CASE("a checkpoint that stepped aside for its replacement is found until that is there") {
  const Checkpoints checkpoints;
  checkpoints.commit(100);
  checkpoints.commit(200);
  fs::rename(checkpoints.file("step_00000200"), checkpoints.file("step_00000200.replaced"));
  CHECK(checkpoints.found() == 200);
  checkpoints.commit(200);
  const CheckpointSearch search = find_latest_valid(checkpoints.path());
  REQUIRE(search.found);
  CHECK(search.found->directory == checkpoints.file("step_00000200"));
  CHECK(purge_checkpoints(checkpoints.path(), 1).empty());
  CHECK(names_in(checkpoints) == Names{"step_00000200"});
}

TEST_CASE("a checkpoint is refused before it is written when the file system has no room for it") {
  const Checkpoints checkpoints;
  CHECK_NOTHROW(check_free_space(checkpoints.path(), 1));  // asked of the directory above: this one is not there yet
  const std::uint64_t available = fs::space(fs::path(checkpoints.path()).parent_path()).available;
  CHECK_NOTHROW(check_free_space(checkpoints.path(), available / 4));
  try {
    check_free_space(checkpoints.path(), available);
    FAIL("no error");
  } catch (const StorageError& error) {
    CHECK_THAT(error.what(), contains("No space left on device") && contains(std::to_string(available)) &&
                                 contains("Free some space") && contains(checkpoints.path()));
  }
  CHECK_THROWS_AS(check_free_space(checkpoints.path(), ~std::uint64_t{0}), StorageError);
}
