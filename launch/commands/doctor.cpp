#include "launch/commands/doctor.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "core/report/table.hpp"
#include "distributed/cpu_share.hpp"
#include "launch/commands/common.hpp"
#include "launch/commands/doctor_disk.hpp"
#include "launch/commands/doctor_facts.hpp"

namespace chorale {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kLargestMatrix = 32;  // of more ranks nobody looks for one pair

// "job 17 (name) on nodes n[1-2], task 3 of array 17".
std::string slurm_text(const ordered_json& slurm) {
  const auto value = [&](const char* key) { return slurm[key].is_null() ? "" : slurm[key].get<std::string>(); };
  std::string text = fmt::format("job {} ({}) on {}", value("job"), value("name"), value("nodes"));
  if (!slurm["array_task"].is_null())
    text += fmt::format(", task {} of array {}", value("array_task"), value("array_job"));
  if (!slurm["restarts"].is_null()) text += fmt::format(", restarted {} times", value("restarts"));
  return text;
}

// The one that is furthest from rank 0's.
std::string clocks_text(const ordered_json& ranks) {
  const ordered_json* furthest = &ranks[1];
  const auto offset_of = [](const ordered_json& rank) { return rank["clock"]["offset_seconds"].get<double>(); };
  for (const ordered_json& rank : ranks) {
    if (std::abs(offset_of(rank)) > std::abs(offset_of(*furthest))) furthest = &rank;
  }
  return fmt::format("at most {:.3f} ms from rank 0's (rank {} on {}, known to {:.3f} ms)",
                     std::abs(offset_of(*furthest)) * 1e3, (*furthest)["rank"].get<std::int64_t>(),
                     (*furthest)["host"].get<std::string>(), (*furthest)["clock"]["error_seconds"].get<double>() * 1e3);
}

// A line for each host's GPUs of one kind, as the first of its ranks sees them.
std::vector<std::string> gpu_lines(const ordered_json& ranks) {
  std::vector<std::string> lines;
  for (const ordered_json& rank : ranks) {
    if (rank["node_rank"] != 0) continue;
    std::map<std::string, int> kinds;
    for (const ordered_json& gpu : rank["gpu_list"]) {
      ++kinds[fmt::format("{}, {:.1f} GB", gpu["name"].get<std::string>(), gpu["memory_bytes"].get<double>() * 1e-9)];
    }
    for (const auto& [kind, count] : kinds)
      lines.push_back(fmt::format("{} x {} ({})", count, kind, rank["host"].get<std::string>()));
  }
  return lines;
}

std::string versions_text(const ordered_json& facts, std::size_t columns) {
  std::string text;
  const auto add = [&](std::string_view name, const std::string& value) { text += beside(name, 10, value, columns); };
  for (const auto& [name, version] : facts["versions"].items()) add(name, version.get<std::string>());
  add("device", facts["devices"].get<std::string>());
  const std::size_t ranks = facts["ranks"].size();
  add("launcher", facts["launcher"] == "MPI" ? fmt::format("MPI, {} rank{}", ranks, ranks == 1 ? "" : "s")
                                             : std::string("none: one process, MPI not started"));
  if (!facts["slurm"].is_null()) add("Slurm", slurm_text(facts["slurm"]));
  if (ranks > 1) add("clocks", clocks_text(facts["ranks"]));
  for (const std::string& line : gpu_lines(facts["ranks"])) add("GPUs", line);
  return text;
}

std::string ranks_text(const ordered_json& facts, std::size_t columns) {
  Table table;
  table.add_row({"rank", "host", "on node", "cores", "threads", "memory", "GPUs"});
  for (const ordered_json& rank : facts["ranks"]) {
    table.add_row(
        {std::to_string(rank["rank"].get<std::int64_t>()), shortened(rank["host"].get<std::string>(), columns - 60),
         fmt::format("{} of {}", rank["node_rank"].get<std::int64_t>(), rank["node_size"].get<std::int64_t>()),
         shortened(core_list(rank["cores"].get<std::vector<int>>()), 15),
         std::to_string(rank["threads"].get<std::int64_t>()),
         fmt::format("{:.1f} GB", rank["memory_bytes"].get<double>() * 1e-9),
         std::to_string(rank["gpus"].get<std::int64_t>())});
  }
  return table.text();
}

// Everybody with everybody; above the terminal's width the slowest, middle and fastest of all pairs.
std::string pairs_text(const ordered_json& pairs, std::size_t columns) {
  const auto times = pairs["microseconds"].get<std::vector<std::vector<double>>>();
  const auto speeds = pairs["gigabytes_per_second"].get<std::vector<std::vector<double>>>();
  if (times.size() <= kLargestMatrix) {
    Table table;
    std::vector<std::string> head = {"from \\ to"};
    for (std::size_t to = 0; to < times.size(); ++to) head.push_back(fmt::format("rank {}", to));
    table.add_row(head);
    for (std::size_t from = 0; from < times.size(); ++from) {
      std::vector<std::string> row = {fmt::format("rank {}", from)};
      for (std::size_t to = 0; to < times.size(); ++to) {
        row.push_back(from == to ? "-" : fmt::format("{:.1f}/{:.2f}", times[from][to], speeds[from][to]));
      }
      table.add_row(row);
    }
    if (table.width() <= columns) {
      return "one way in microseconds (8 bytes) / GB per second (1 MiB)\n" + table.text();
    }
  }
  struct Entry {
    double microseconds;
    double speed;
    std::size_t from;
    std::size_t to;
  };
  std::vector<Entry> entries;
  for (std::size_t from = 0; from < times.size(); ++from) {
    for (std::size_t to = 0; to < times.size(); ++to) {
      if (from != to) entries.push_back({times[from][to], speeds[from][to], from, to});
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.microseconds < b.microseconds; });
  Table table;
  table.add_row({"pair", "from", "to", "microseconds (8 bytes)", "GB per second (1 MiB)"});
  const auto add = [&](const char* name, const Entry& entry) {
    table.add_row({name, std::to_string(entry.from), std::to_string(entry.to),
                   fmt::format("{:.1f}", entry.microseconds), fmt::format("{:.2f}", entry.speed)});
  };
  add("fastest", entries.front());
  add("middle", entries[entries.size() / 2]);
  add("slowest", entries.back());
  return table.text();
}

std::string report(const ordered_json& facts, std::size_t columns) {
  const std::size_t ranks = facts["ranks"].size();
  std::string text = versions_text(facts, columns) + "\n" + ranks_text(facts, columns) + "\n";
  text += disks_text(facts["disks"], columns) + "\n";
  text += ranks > 1 ? pairs_text(facts["pairs"], columns)
                    : "one rank has nobody to talk to; run this under the launcher of your job,\n"
                      "e.g. mpirun -n 2\n";
  for (const ordered_json& warning : facts["warnings"]) {
    text += "\n" + wrapped("warning: " + warning.get<std::string>(), columns);
  }
  for (const ordered_json& fault : facts["faults"]) {
    text += "\n" + wrapped("fault: " + fault.get<std::string>(), columns);
  }
  return text + (facts["faults"].empty() ? "\nall well\n" : "");
}

struct Options {
  std::string output;
  std::string format = "table";
};

void examine(World& world, const Options& options) {
  const ordered_json facts = doctor_facts(world, options.output.empty() ? usual_output_directory() : options.output);
  world.on_root([&] {
    write_output(options.format == "json" ? facts.dump(2) + "\n" : report(facts, columns_of(STDOUT_FILENO)));
    const std::size_t faults = facts["faults"].size();
    if (faults > 0) {
      throw InternalError(
          fmt::format("{} fault{} found; the report names them", faults, faults == 1 ? " was" : "s were"));
    }
  });
}

}  // namespace

void add_doctor_command(CLI::App& app, World& world) {
  CLI::App* command = app.add_subcommand("doctor", "Show what the program runs with, and test all pairs of ranks");
  const auto options = std::make_shared<Options>();
  command->add_option(
      "--output", options->output,
      "The directory that runs are to be written to (runs/, or the working directory), to test its disk");
  command->add_option("--format", options->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  command->footer("Example:\n  mpirun -n 2 chorale doctor\n");
  command->callback([&world, options] { examine(world, *options); });
}

}  // namespace chorale
