#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/errors.hpp"
#include "launch/training/log_file.hpp"
#include "launch/training/run_directory.hpp"
#include "support/catch.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using nlohmann::json;
using test::contains;
using test::content_of;
using test::input_error_of;
using test::ScratchDirectory;
using test::write_content;
namespace fs = std::filesystem;

namespace {

std::string usage_error_of(const std::string& path, bool resume) {
  try {
    const RunDirectory directory(path, resume);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no UsageError";
}

}  // namespace

TEST_CASE("a run directory is new, or one to resume, and nothing else is entered") {
  const ScratchDirectory scratch;
  const std::string run = scratch.file("deep/run");
  for (const bool resume : {false, true}) {
    CAPTURE(resume);
    CHECK(usage_error_of(run, resume) == "no UsageError");  // made, then found empty
    write_content(run + "/.lock", "x");
    write_content(run + "/recipe.yaml.123.tmp", "half a rec");
    CHECK(usage_error_of(run, resume) == "no UsageError");
  }
  write_content(run + "/notes.txt", "x");
  CHECK_THAT(usage_error_of(run, false), contains("already holds") && contains("--resume") && contains(run + "-2"));
  CHECK_THAT(usage_error_of(run, true), contains("no run to resume") && contains(run));
  write_content(run + "/recipe.yaml", "name: x\n");
  CHECK_THAT(usage_error_of(run, false), contains("already holds"));
  CHECK(usage_error_of(run, true) == "no UsageError");
  fs::remove(run + "/recipe.yaml");
  fs::create_directory(run + "/checkpoints");
  CHECK(usage_error_of(run, true) == "no UsageError");
  CHECK_THAT(usage_error_of(run + "/notes.txt", true), contains("is a file"));
}

TEST_CASE("unfinished files go, and only they") {
  const ScratchDirectory scratch;
  const RunDirectory directory(scratch.file("run"));
  for (const char* name : {"metrics.json", "metrics.json.17.tmp", "predictions.h5.2.tmp", "recipe.yaml", "a.tmpx"}) {
    write_content(directory.file(name), "x");
  }
  fs::create_directory(directory.file("kept.tmp"));
  directory.remove_unfinished();
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory.path())) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"a.tmpx", "kept.tmp", "metrics.json", "recipe.yaml"});
}

TEST_CASE("a log grows line by line and is cut back to a step") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("log.jsonl");
  CHECK(LogFile::cut_after(path, 5) == 0.0);
  CHECK_FALSE(fs::exists(path));
  {
    LogFile log(path);
    log.write({{"member", 0}, {"step", 1}, {"seconds", 2.5}});
    log.write({{"member", 1}, {"step", 1}, {"seconds", 2.25}});
    log.write({{"member", 0}, {"step", 2}, {"validation", {{"nll", nullptr}}}});
    log.sync();
  }
  const std::string early = content_of(path);
  CHECK(early ==
        "{\"member\":0,\"seconds\":2.5,\"step\":1}\n{\"member\":1,\"seconds\":2.25,\"step\":1}\n"
        "{\"member\":0,\"step\":2,\"validation\":{\"nll\":null}}\n");
  LogFile(path).write({{"step", 3}, {"seconds", 9.0}});
  const std::string whole = content_of(path);
  CHECK(whole.starts_with(early));
  CHECK(LogFile::cut_after(path, 3) == 9.0);
  CHECK(content_of(path) == whole);

  // However much of the last line has come, the log ends with the line before it; the whole line without its end
  // counts.
  for (std::size_t size = early.size(); size + 1 < whole.size(); ++size) {
    CAPTURE(size);
    write_content(path, whole.substr(0, size));
    const bool complete = size + 1 == whole.size();
    CHECK(LogFile::cut_after(path, 3) == (complete ? 9.0 : 2.5));
    CHECK(content_of(path) == (complete ? whole : early));
  }
  write_content(path, whole.substr(0, whole.size() - 1));
  CHECK(LogFile::cut_after(path, 3) == 9.0);
  CHECK(content_of(path) == whole);
  for (const std::string& zeros : {std::string(1, '\0'), std::string(5000, '\0')}) {
    write_content(path, early + zeros);
    CHECK(LogFile::cut_after(path, 3) == 2.5);
    CHECK(content_of(path) == early);
  }

  CHECK(LogFile::cut_after(path, 2) == 2.5);
  CHECK(content_of(path) == early);
  CHECK(LogFile::cut_after(path, 0) == 0.0);
  CHECK(content_of(path).empty());
}

TEST_CASE("a line of something else is an error that names file and line") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("log.jsonl");
  for (const char* line :
       {"", "not json", "[1]", "{}", "{\"step\": 1.5}", "{\"step\": \"1\"}", "{\"step\": 1, \"step\": 2}"}) {
    CAPTURE(line);
    const std::string content = std::string("{\"step\":1}\n") + line + "\n{\"step\":2}\n";
    write_content(path, content);
    CHECK_THAT(input_error_of([&] { static_cast<void>(LogFile::cut_after(path, 9)); }), contains(path + ":2"));
    CHECK(content_of(path) == content);
  }
}
