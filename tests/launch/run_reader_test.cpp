#include "launch/results/run_reader.hpp"

#include <filesystem>

#include "core/base/errors.hpp"
#include "support/catch.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using test::contains;
using test::input_error_of;
using test::ScratchDirectory;
using test::write_content;
namespace fs = std::filesystem;

namespace {

// A run that has just begun: its recipe and nothing else.
std::string begin_run(const ScratchDirectory& scratch) {
  const std::string run = scratch.file("run");
  fs::create_directory(run);
  write_content(run + "/recipe.yaml",
                "base: {path: model}\ndata: {train: {path: train.jsonl}}\n"
                "task: {prompt: '{q}', choices: [a, b]}\noutput: {directory: elsewhere}\n");
  return run;
}

std::string usage_error_of(const std::string& path) {
  try {
    const RunReader run(path);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no UsageError";
}

}  // namespace

TEST_CASE("what is no run directory is refused with a remedy") {
  const ScratchDirectory scratch;
  CHECK_THAT(usage_error_of(scratch.file("none")), contains("there is no such run directory"));
  write_content(scratch.file("file"), "x");
  CHECK_THAT(usage_error_of(scratch.file("file")), contains("no recipe.yaml"));
  CHECK_THAT(usage_error_of(scratch.path().string()), contains("no recipe.yaml") && contains("output.directory"));
}

TEST_CASE("a run is read where it is, finished or not") {
  const ScratchDirectory scratch;
  const std::string path = begin_run(scratch);
  const RunReader begun(path + "//");
  CHECK(begun.directory() == path);
  CHECK(begun.recipe().output_directory == path);  // it may have been moved since
  CHECK(begun.recipe().base.path == "model");
  CHECK_FALSE(begun.metrics());
  CHECK(begun.timings().is_null());
  CHECK_THAT(input_error_of([&] { (void)begun.checkpoint(); }), contains("no valid checkpoint"));
  write_content(path + "/metrics.json", R"({"format_version": 1, "datasets": {}})");
  CHECK(RunReader(path).metrics()->contains("datasets"));
}

TEST_CASE("metrics that are damaged or of a newer version are refused") {
  const ScratchDirectory scratch;
  const std::string path = begin_run(scratch);
  write_content(path + "/metrics.json", "{\"format_ver");
  CHECK_THAT(input_error_of([&] { const RunReader run(path); }), contains("metrics.json: is damaged"));
  write_content(path + "/metrics.json", R"({"format_version": 7, "created_by": "chorale 9.1.0"})");
  CHECK_THAT(input_error_of([&] { const RunReader run(path); }),
             contains("version 7") && contains("up to 1") && contains("chorale 9.1.0"));
}
