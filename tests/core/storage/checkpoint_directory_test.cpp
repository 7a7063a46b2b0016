#include "core/storage/checkpoint_directory.hpp"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "core/base/errors.hpp"
#include "support/catch.hpp"
#include "support/checkpoint_content.hpp"
#include "support/checkpoint_directory.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using test::checkpoint_content;
using test::Checkpoints;
using test::contains;
using test::content_of;
using test::input_error_of;
using test::ScratchDirectory;
using test::write_content;
using test::write_content_to;
namespace fs = std::filesystem;

TEST_CASE("a committed checkpoint is found, by the names users know, and nothing unfinished is left") {
  const Checkpoints checkpoints;
  CHECK(checkpoints.found() == -1);
  checkpoints.commit(114);
  CHECK(checkpoints.found() == 114);
  CHECK(checkpoints.problem() == "no problem");
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(checkpoints.path())) {
    names.push_back(fs::relative(entry.path(), checkpoints.path()).string());
  }
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"LATEST", "step_00000114", "step_00000114/group_000.h5",
                                          "step_00000114/group_001.h5", "step_00000114/manifest.json"});
  CHECK(content_of(checkpoints.file("LATEST")) == "step_00000114\n");
  checkpoints.commit(9);
  CHECK(checkpoints.found() == 114);  // the highest step, whatever was written last
  checkpoints.commit(123456789);
  CHECK(checkpoints.found() == 123456789);
}

TEST_CASE("a crash after any stage leaves the checkpoint before it valid") {
  const Checkpoints checkpoints;
  checkpoints.commit(100);
  const std::string unfinished = checkpoints.file("step_00000200.tmp");

  static_cast<void>(begin_checkpoint(checkpoints.path(), 200));
  CHECK(checkpoints.found() == 100);
  checkpoints.write_groups(200, 1);
  CHECK(checkpoints.found() == 100);
  CHECK_THROWS_AS(write_manifest(unfinished, 200, 2), StorageError);  // the second group's file never came
  CHECK(checkpoints.found() == 100);
  checkpoints.write_groups(200);
  CHECK(checkpoints.found() == 100);
  write_manifest(unfinished, 200, 2);
  CHECK(checkpoints.found() == 100);
  CHECK(checkpoints.problem() == "no problem");  // unfinished work is no problem

  // A new attempt starts from nothing and does not trip over what lies there.
  CHECK(fs::is_empty(begin_checkpoint(checkpoints.path(), 200)));
  checkpoints.write_groups(200);
  write_manifest(unfinished, 200, 2);
  publish_checkpoint(checkpoints.path(), 200);
  CHECK(checkpoints.found() == 200);  // complete, though LATEST still names the one before
  CHECK(content_of(checkpoints.file("LATEST")) == "step_00000100\n");
  point_latest(checkpoints.path(), 200);
  CHECK(checkpoints.found() == 200);
}

TEST_CASE("a checkpoint of a step that has one takes its place") {
  const Checkpoints checkpoints;
  checkpoints.commit(100);
  CheckpointContent changed = checkpoint_content(100);
  changed.header.recipe = "name: second\n";
  const std::string directory = begin_checkpoint(checkpoints.path(), 100);
  write_content_to(directory + "/group_000.h5", changed);
  CHECK(checkpoints.found() == 100);
  commit_checkpoint(checkpoints.path(), 100, 1);
  const CheckpointSearch search = find_latest_valid(checkpoints.path());
  REQUIRE(search.found);
  REQUIRE(search.found->files.size() == 1);
  CHECK(read_checkpoint_file(search.found->files[0]).header.recipe == "name: second\n");
  CHECK_FALSE(fs::exists(directory));
}

TEST_CASE("a whole checkpoint made elsewhere is taken over, in place of one of the same step or beside older ones") {
  const Checkpoints checkpoints;
  checkpoints.commit(8);
  for (const std::int64_t step : {8, 12}) {
    const Checkpoints elsewhere;
    elsewhere.commit(step);
    const std::string made = content_of(elsewhere.file(checkpoint_name(step) + "/manifest.json"));
    // What an earlier try has left is in nobody's way.
    static_cast<void>(begin_checkpoint(checkpoints.path(), step));
    adopt_checkpoint(elsewhere.file(checkpoint_name(step)), checkpoints.path(), step);
    CHECK(checkpoints.found() == step);
    CHECK(content_of(checkpoints.file(checkpoint_name(step) + "/manifest.json")) == made);
    CHECK(content_of(checkpoints.file("LATEST")) == checkpoint_name(step) + "\n");
    CHECK_FALSE(fs::exists(elsewhere.file(checkpoint_name(step))));
    CHECK_FALSE(fs::exists(checkpoints.file(checkpoint_name(step) + ".tmp")));
  }
  CHECK_THROWS_AS(adopt_checkpoint(checkpoints.file("nothing"), checkpoints.path(), 20), StorageError);
  CHECK(checkpoints.found() == 12);
}

TEST_CASE("damage to the newest checkpoint is named, and the one before it is found") {
  const auto after = [](const std::function<void(const std::string&)>& damage) {
    const Checkpoints checkpoints;
    checkpoints.commit(100);
    checkpoints.commit(200);
    damage(checkpoints.file("step_00000200"));
    CHECK(checkpoints.found() == 100);
    return checkpoints.problem();
  };
  CHECK_THAT(after([](const std::string& d) { fs::remove(d + "/manifest.json"); }),
             contains("step_00000200/manifest.json") && contains("missing"));
  CHECK_THAT(after([](const std::string& d) { write_content(d + "/manifest.json", ""); }), contains("manifest.json"));
  CHECK_THAT(after([](const std::string& d) {
               const std::string whole = content_of(d + "/manifest.json");
               write_content(d + "/manifest.json", whole.substr(0, whole.size() / 2));
             }),
             contains("manifest.json"));
  CHECK_THAT(after([](const std::string& d) { fs::remove(d + "/group_001.h5"); }),
             contains("step_00000200/group_001.h5") && contains("missing"));
  CHECK_THAT(after([](const std::string& d) { fs::resize_file(d + "/group_000.h5", 1000); }),
             contains("group_000.h5: has 1000 bytes") && contains("cut short"));
  CHECK_THAT(after([](const std::string& d) {
               std::string content = content_of(d + "/group_001.h5");
               content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
               write_content(d + "/group_001.h5", content);
             }),
             contains("group_001.h5") && contains("SHA-256"));
  // The file of another step: valid in itself, but not what the manifest lists.
  CHECK_THAT(after([](const std::string& d) {
               fs::copy_file(fs::path(d).parent_path() / "step_00000100/group_000.h5", d + "/group_000.h5",
                             fs::copy_options::overwrite_existing);
             }),
             contains("group_000.h5") && contains("SHA-256"));
  CHECK_THAT(after([](const std::string& d) {
               fs::remove(d + "/group_000.h5");
               fs::create_symlink(fs::path(d).parent_path() / "step_00000100/group_000.h5", d + "/group_000.h5");
             }),
             contains("no regular file"));
  // A whole directory under another step's name.
  CHECK_THAT(after([](const std::string& d) {
               fs::remove_all(d);
               fs::copy(fs::path(d).parent_path() / "step_00000100", d, fs::copy_options::recursive);
             }),
             contains("that of step 100"));
}

TEST_CASE("a manifest must say what it is, in a version this program knows, and name its files as we do") {
  const Checkpoints checkpoints;
  checkpoints.commit(100);
  const std::string directory = checkpoints.file("step_00000100");
  const std::string whole = content_of(directory + "/manifest.json");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = whole;
    const std::size_t place = changed.find(from);
    REQUIRE(place != std::string::npos);
    changed.replace(place, from.size(), to);
    write_content(directory + "/manifest.json", changed);
    return input_error_of([&] { static_cast<void>(verify_checkpoint(directory)); });
  };
  CHECK(with("\"created_by\"", "\"made_by\"") == "no InputError");
  CHECK_THAT(with("\"format_version\": 1", "\"format_version\": 3"),
             contains("format_version 3") && contains("up to 1"));
  CHECK_THAT(with("chorale-manifest", "other"), contains("no manifest"));
  CHECK_THAT(with("\"step\": 100", "\"step\": -1"), contains("lacks 'step'"));
  CHECK_THAT(with("group_001.h5", "../../x"), contains("not group_001.h5"));
  CHECK_THAT(with("\"bytes\": ", "\"bytes\": 1"), contains("its manifest says 1"));
  CHECK_THAT(with("\"sha256\": \"", "\"sha256\": \"0"), contains("SHA-256"));
  CHECK_THAT(with("\"sha256\"", "\"md5\""), contains("nothing of use"));
}

TEST_CASE(
    "LATEST may be missing, damaged or name what is not there: the newest valid checkpoint is found all the same") {
  const Checkpoints checkpoints;
  checkpoints.commit(100);
  fs::remove(checkpoints.file("LATEST"));
  CHECK(checkpoints.found() == 100);
  CHECK(checkpoints.problem() == "no problem");
  for (const char* name : {"step_00000300\n", "", "../outside\n", "step_1\n", "step_00000100.tmp\n"}) {
    CAPTURE(name);
    write_content(checkpoints.file("LATEST"), name);
    CHECK(checkpoints.found() == 100);
    CHECK_THAT(checkpoints.problem(), contains("LATEST names"));
  }
}

TEST_CASE("a full disk is a StorageError and the checkpoint before stays") {
  const Checkpoints checkpoints;
  checkpoints.commit(100);
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  // No byte fits; the files fit, but not the manifest and LATEST (their files are there already).
  rlimit tight = limit;
  tight.rlim_cur = 0;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &tight) == 0);
  CHECK_THROWS_AS(checkpoints.write_groups(200), StorageError);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  CHECK(checkpoints.found() == 100);
  checkpoints.write_groups(200);
  tight.rlim_cur = 16;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &tight) == 0);
  CHECK_THROWS_AS(commit_checkpoint(checkpoints.path(), 200, 2), StorageError);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK(checkpoints.found() == 100);
  checkpoints.commit(200);
  CHECK(checkpoints.found() == 200);
}
