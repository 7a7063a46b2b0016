#include "launch/commands/doctor_disk.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <system_error>
#include <thread>

#include "core/base/file_calls.hpp"
#include "core/base/printable.hpp"
#include "core/report/table.hpp"

namespace chorale {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr std::size_t kPiece = std::size_t{4} << 20;
constexpr int kPieces = 8;                             // 32 MiB
constexpr double kLongEnough = 2.0;                    // seconds, after which no further piece is written
constexpr int kSyncs = 3;                              // of little files, the quickest of which counts
constexpr std::uintmax_t kLittleRoom = 1'000'000'000;  // checkpoints of a few adapters and their predictions
constexpr double kSlow = 20e6;                         // bytes per second
constexpr auto kForTheMark = std::chrono::seconds(3);  // network file systems show a new file late

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// A file that is gone on every way out.
class Scratch {
 public:
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { static_cast<void>(file_calls::unlink(path_)); }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Bytes per second of a file written and synced; `error` is the errno of what failed, or 0.
double write_speed(const std::string& path, int& error) {
  const Scratch scratch(path);
  Descriptor file;
  error = file_calls::open(path, O_CREAT | O_EXCL, file);
  if (error != 0) return 0.0;
  const std::string piece(kPiece, 'x');
  const auto begin = std::chrono::steady_clock::now();
  int pieces = 0;
  for (; pieces < kPieces && seconds_since(begin) < kLongEnough; ++pieces) {
    error = file_calls::write(file, piece, path);
    if (error != 0) return 0.0;
  }
  error = file_calls::sync(file, path);
  if (error != 0) return 0.0;
  return static_cast<double>(kPiece) * pieces / seconds_since(begin);
}

// Seconds until a little file is on the disk: what each checkpoint waits for several times.
double sync_time(const std::string& path, int& error) {
  double best = 0.0;
  for (int i = 0; i < kSyncs; ++i) {
    const Scratch scratch(path);
    Descriptor file;
    error = file_calls::open(path, O_CREAT | O_EXCL, file);
    if (error != 0) return 0.0;
    const auto begin = std::chrono::steady_clock::now();
    error = file_calls::write(file, "x", path);
    if (error == 0) error = file_calls::sync(file, path);
    if (error != 0) return 0.0;
    const double seconds = seconds_since(begin);
    best = i == 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

ordered_json directory_facts(const std::string& directory, std::int64_t rank) {
  std::error_code failure;
  const fs::space_info space = fs::space(directory, failure);
  const auto room = failure ? 0 : static_cast<std::uint64_t>(space.available);
  ordered_json facts = {
      {"directory", directory}, {"free_bytes", room},          {"writable", access(directory.c_str(), W_OK) == 0},
      {"problem", nullptr},     {"bytes_per_second", nullptr}, {"sync_seconds", nullptr}};
  int error = failure ? failure.value() : 0;
  if (error == 0 && room < 2 * kPiece * kPieces) error = ENOSPC;
  const std::string path = fmt::format("{}/.chorale-doctor-{}-{}", directory, rank, getpid());
  double speed = 0.0;
  double sync = 0.0;
  if (error == 0) speed = write_speed(path, error);
  if (error == 0) sync = sync_time(path, error);
  if (error != 0) {
    facts["problem"] = std::generic_category().message(error);
  } else {
    facts["bytes_per_second"] = speed;
    facts["sync_seconds"] = sync;
  }
  return facts;
}

std::string temporary_directory() {
  std::error_code failure;
  const fs::path path = fs::temp_directory_path(failure);
  return failure ? "/tmp" : path.string();
}

bool appears(const std::string& path) {
  const auto begin = std::chrono::steady_clock::now();
  while (access(path.c_str(), F_OK) != 0) {
    if (std::chrono::steady_clock::now() - begin > kForTheMark) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return true;
}

// Whether this rank's host sees a file that rank 0 makes; null where there is nothing to see.
ordered_json sees_mark(World& world, const std::string& directory) {
  const std::string own = fmt::format("{}/.chorale-doctor-mark-{}", directory, getpid());
  const Scratch mark(world.is_root() ? own : "");
  bool made = false;
  if (world.is_root()) {
    Descriptor file;
    made = file_calls::open(own, O_CREAT | O_EXCL, file) == 0;
  }
  const std::string path = world.broadcast(made ? own : "");
  const bool looks =
      !path.empty() && world.node_rank() == 0 && world.nodes().node_of[static_cast<std::size_t>(world.rank())] != 0;
  ordered_json seen = looks ? ordered_json(appears(path)) : ordered_json();
  world.together([] {});  // the mark stays until all have looked
  return seen;
}

}  // namespace

std::string usual_output_directory() {
  std::error_code failure;
  return fs::is_directory("runs", failure) ? "runs" : ".";
}

ordered_json disk_facts(World& world, const std::string& directory) {
  const std::string place = world.broadcast(directory);
  const ordered_json shares = sees_mark(world, place);
  std::string mine;
  if (world.node_rank() == 0) {
    mine = ordered_json{{"host", world.host()},
                        {"output", directory_facts(place, world.rank())},
                        {"temporary", directory_facts(temporary_directory(), world.rank())},
                        {"shares_output", shares}}
               .dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  }
  ordered_json disks = ordered_json::array();
  for (const auto& bytes : world.gather(std::as_bytes(std::span(mine)))) {
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    if (!bytes.empty()) disks.push_back(ordered_json::parse(text, text + bytes.size()));
  }
  return world.is_root() ? disks : ordered_json();
}

void judge_disks(const ordered_json& disks, ordered_json& warnings) {
  for (const ordered_json& disk : disks) {
    const auto host = disk["host"].get<std::string>();
    const ordered_json& output = disk["output"];
    const std::string directory = printable(output["directory"].get<std::string>());
    if (!output["problem"].is_null()) {
      warnings.push_back(
          fmt::format("{} cannot be written to on {}: {}. Start where you may write, or give output.directory, and "
                      "make room there.",
                      directory, host, output["problem"].get<std::string>()));
    } else if (output["free_bytes"].get<std::uint64_t>() < kLittleRoom) {
      warnings.push_back(
          fmt::format("the disk of {} on {} has {:.2f} GB free, which checkpoints soon fill. Free some space, or give "
                      "an output.directory on another disk.",
                      directory, host, output["free_bytes"].get<double>() * 1e-9));
    } else if (output["bytes_per_second"].get<double>() < kSlow) {
      warnings.push_back(
          fmt::format("{} on {} takes {:.1f} MB a second: checkpoints will hold the run up. Give an output.directory "
                      "on another disk, or save more seldom (checkpoint.every_steps).",
                      directory, host, output["bytes_per_second"].get<double>() * 1e-6));
    }
    if (const ordered_json& temporary = disk["temporary"]; !temporary["problem"].is_null()) {
      warnings.push_back(fmt::format("{} cannot be written to on {}: {}. Make room there, or set TMPDIR.",
                                     printable(temporary["directory"].get<std::string>()), host,
                                     temporary["problem"].get<std::string>()));
    }
    if (disk["shares_output"] == false) {
      warnings.push_back(fmt::format(
          "{} on {} is not the directory of that name on {}: a run of several hosts writes into one. Give an "
          "output.directory on a file system that all hosts share.",
          directory, host, disks[0]["host"].get<std::string>()));
    }
  }
}

std::string disks_text(const ordered_json& disks, std::size_t columns) {
  Table table;
  table.add_row({"disk of host", "directory", "free", "write", "sync", "shared"});
  const auto add = [&](const std::string& host, const ordered_json& facts, const char* shared) {
    const bool works = facts["problem"].is_null();
    table.add_row({shortened(host, columns - 58), shortened(facts["directory"].get<std::string>(), 20),
                   fmt::format("{:.1f} GB", facts["free_bytes"].get<double>() * 1e-9),
                   works ? fmt::format("{:.0f} MB/s", facts["bytes_per_second"].get<double>() * 1e-6) : "-",
                   works ? fmt::format("{:.1f} ms", facts["sync_seconds"].get<double>() * 1e3) : "-", shared});
  };
  for (const ordered_json& disk : disks) {
    const auto host = disk["host"].get<std::string>();
    const ordered_json& shares = disk["shares_output"];
    add(host, disk["output"], shares.is_null() ? "" : shares.get<bool>() ? "yes" : "no");
    add(host, disk["temporary"], "");
  }
  return table.text();
}

}  // namespace chorale
