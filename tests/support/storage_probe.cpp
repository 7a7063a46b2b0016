// Writes and reads runs for tests that kill it, fail its system calls (core/base/fault_point.hpp) and damage its files.
//   storage_probe save RUN STEP...
//     Locks RUN, says as `check` does what it found and goes on with the log; then for each STEP two lines of the log
//     (once), a checkpoint of two groups, "committed STEP" and a purge to two; at the end it checks again.
//   storage_probe check RUN
//     {"step", "equal", "problems"}: the newest valid checkpoint (-1: none), and whether every number in it is what was
//     saved.
//   storage_probe cycles RUN COUNT
//     Saves and purges steps 1 to COUNT, then {"descriptors", "kibibytes"}: each a list of two, after a tenth of them
//     and at the end.
//   storage_probe hold RUN [child]
//     Locks RUN, says "held" (before it the number of a child that sleeps) and waits for the end of standard input.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/storage/checkpoint_directory.hpp"
#include "core/storage/checkpoint_upkeep.hpp"
#include "core/storage/run_lock.hpp"
#include "launch/training/log_file.hpp"
#include "launch/training/run_directory.hpp"
#include "tests/support/checkpoint_content.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t kGroups = 2;
constexpr std::int64_t kKeep = 2;

void save_step(const std::string& checkpoints, std::int64_t step) {
  chorale::check_free_space(checkpoints, 100000);
  const std::string directory = chorale::begin_checkpoint(checkpoints, step);
  for (std::int64_t group = 0; group < kGroups; ++group) {
    chorale::test::write_content_to(directory + "/" + chorale::group_file_name(group),
                                    chorale::test::checkpoint_content(step + group));
  }
  chorale::commit_checkpoint(checkpoints, step, kGroups);
}

void purge(const std::string& checkpoints) {
  for (const std::string& warning : chorale::purge_checkpoints(checkpoints, kKeep)) {
    std::cerr << "warning: " << warning << '\n';
  }
}

json check(const std::string& path) {
  const chorale::CheckpointSearch search = chorale::find_latest_valid(path + "/checkpoints");
  json result = {{"step", -1}, {"equal", true}, {"problems", search.problems}};
  if (!search.found) return result;
  result["step"] = search.found->step;
  for (std::size_t group = 0; group < search.found->files.size(); ++group) {
    const auto expected = chorale::test::checkpoint_content(search.found->step + static_cast<std::int64_t>(group));
    const bool equal = chorale::test::same_content(chorale::read_checkpoint_file(search.found->files[group]), expected);
    result["equal"] = result["equal"].get<bool>() && equal;
  }
  return result;
}

void save(const std::string& path, const std::vector<std::int64_t>& steps) {
  const chorale::RunDirectory run(path, true);
  const chorale::RunLock lock(path);
  std::cerr << lock.note();
  std::cout << check(path).dump() << std::endl;
  run.remove_unfinished();
  const std::string checkpoints = run.file("checkpoints");
  if (!fs::exists(run.file("recipe.yaml"))) chorale::write_file_atomically(run.file("recipe.yaml"), "name: probe\n");
  const chorale::CheckpointSearch search = chorale::find_latest_valid(checkpoints);
  for (const std::string& directory : search.damaged) chorale::set_aside(directory);
  std::int64_t logged = search.found ? search.found->step : 0;
  chorale::LogFile::cut_after(run.file("log.jsonl"), logged);
  chorale::LogFile log(run.file("log.jsonl"));
  for (const std::int64_t step : steps) {
    for (const int member : {3, 1000}) {
      if (step > logged) log.write({{"member", member}, {"step", step}, {"seconds", 0.5}});
    }
    logged = step;
    log.sync();
    save_step(checkpoints, step);
    std::cout << "committed " << step << std::endl;
    purge(checkpoints);
  }
  std::cout << check(path).dump() << std::endl;
}

std::int64_t open_descriptors() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

std::int64_t resident_kibibytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t all = 0;
  std::int64_t resident = 0;
  file >> all >> resident;
  return resident * ::sysconf(_SC_PAGESIZE) / 1024;
}

json cycles(const std::string& path, std::int64_t count) {
  const chorale::RunDirectory run(path, true);
  const chorale::RunLock lock(path);
  json result = {{"descriptors", json::array()}, {"kibibytes", json::array()}};
  for (std::int64_t step = 1; step <= count; ++step) {
    save_step(run.file("checkpoints"), step);
    purge(run.file("checkpoints"));
    if (step != std::max<std::int64_t>(1, count / 10) && step != count) continue;
    result["descriptors"].push_back(open_descriptors());
    result["kibibytes"].push_back(resident_kibibytes());
  }
  return result;
}

void hold(const std::string& path, bool with_child) {
  const chorale::RunDirectory run(path, true);
  const chorale::RunLock lock(path);
  std::cerr << lock.note();
  if (with_child) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::execlp("sleep", "sleep", "60", nullptr);
      ::_exit(127);
    }
    std::cout << child << ' ';
  }
  std::cout << "held" << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
  }
}

void run(const std::vector<std::string>& arguments) {
  const std::string mode = arguments.size() >= 2 ? arguments[0] : "";
  if (mode == "save") {
    std::vector<std::int64_t> steps;
    for (std::size_t i = 2; i < arguments.size(); ++i) steps.push_back(std::stoll(arguments[i]));
    save(arguments[1], steps);
  } else if (mode == "check") {
    std::cout << check(arguments[1]).dump() << '\n';
  } else if (mode == "cycles" && arguments.size() == 3) {
    std::cout << cycles(arguments[1], std::stoll(arguments[2])).dump() << '\n';
  } else if (mode == "hold") {
    hold(arguments[1], arguments.size() == 3);
  } else {
    throw chorale::UsageError("storage_probe save RUN STEP... | check RUN | cycles RUN COUNT | hold RUN [child]");
  }
}

}  // namespace

int main(int count, char** values) {
  try {
    run(std::vector<std::string>(values + 1, values + count));
    return 0;
  } catch (const chorale::Error& error) {
    std::cerr << error.what() << '\n';
    return static_cast<int>(error.code());
  }
}
