#include "launch/commands/doctor_facts.hpp"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <span>

#include "core/model/device.hpp"
#include "core/training/memory_estimate.hpp"
#include "distributed/clock_offsets.hpp"
#include "distributed/cpu_share.hpp"
#include "distributed/gpu_list.hpp"
#include "distributed/self_test.hpp"
#include "launch/commands/doctor_disk.hpp"
#include "launch/commands/doctor_machine.hpp"
#include "launch/library_versions.hpp"

namespace chorale {
namespace {

using nlohmann::ordered_json;

ordered_json versions() {
  ordered_json all = library_versions();
  all["compiler"] = "g++ " __VERSION__;
  all["build"] = CHORALE_BUILD_OPTIONS;
  return all;
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The job that Slurm runs this in, as rank 0's environment tells; null outside of one.
ordered_json slurm_facts() {
  if (environment("SLURM_JOB_ID").empty()) return nullptr;
  ordered_json facts;
  for (const auto& [key, name] :
       {std::pair("job", "SLURM_JOB_ID"), std::pair("name", "SLURM_JOB_NAME"), std::pair("nodes", "SLURM_JOB_NODELIST"),
        std::pair("partition", "SLURM_JOB_PARTITION"), std::pair("array_job", "SLURM_ARRAY_JOB_ID"),
        std::pair("array_task", "SLURM_ARRAY_TASK_ID"), std::pair("restarts", "SLURM_RESTART_COUNT")}) {
    const std::string value = environment(name);
    facts[key] = value.empty() ? ordered_json() : ordered_json(value);
  }
  return facts;
}

ordered_json gpu_facts() {
  ordered_json gpus = ordered_json::array();
  for (const GpuFacts& gpu : list_gpus()) {
    gpus.push_back({{"name", gpu.name}, {"uuid", gpu.uuid}, {"memory_bytes", gpu.memory_bytes}});
  }
  return gpus;
}

// This rank's row. describe_devices() loads the CUDA libraries, without which no GPU is counted.
ordered_json rank_facts(World& world) {
  const CpuShare share = cpu_share(world);
  const std::string devices = describe_devices();
  return {{"rank", world.rank()},
          {"host", world.host()},
          {"node_rank", world.node_rank()},
          {"node_size", world.node_size()},
          {"cores", share.cores},
          {"shared_cores", share.shared_cores},
          {"sharing", share.sharing},
          {"threads", start_threads(0, world.node_size())},
          {"memory_bytes", physical_memory()},
          {"gpus", at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0},
          {"gpu_list", gpu_facts()},
          {"slurm_node", environment("SLURMD_NODENAME")},
          {"devices", devices},
          {"versions", versions()}};
}

// Each host's ranks whose cores overlap, judged once, by the row of the first of them.
void judge_cores(const ordered_json& ranks, ordered_json& warnings) {
  std::set<std::string> judged;
  for (const ordered_json& rank : ranks) {
    const auto host = rank["host"].get<std::string>();
    const auto cores = rank["shared_cores"].get<std::vector<int>>();
    if (!judged.insert(host + " " + core_list(cores)).second) continue;
    std::int64_t threads = 0;
    for (const ordered_json& other : ranks) {
      if (other["host"] == rank["host"] && other["shared_cores"] == rank["shared_cores"]) {
        threads += other["threads"].get<std::int64_t>();
      }
    }
    const auto sharing = rank["sharing"].get<std::int64_t>();
    const auto available = static_cast<std::int64_t>(cores.size());
    if (sharing > available) {
      warnings.push_back(
          fmt::format("{} ranks share core{} {} of {}: they take turns. Start fewer here, or bind each to cores of its "
                      "own (mpirun --map-by core).",
                      sharing, available == 1 ? "" : "s", core_list(cores), host));
    } else if (threads > available) {
      warnings.push_back(
          fmt::format("{} threads on {} cores ({}) of {}: they wait for each other. Set OMP_NUM_THREADS={}.", threads,
                      available, core_list(cores), host, std::max<std::int64_t>(1, available / sharing)));
    }
  }
}

void judge_versions(const ordered_json& ranks, ordered_json& faults) {
  for (const ordered_json& rank : ranks) {
    if (rank["versions"] == ranks[0]["versions"]) continue;
    faults.push_back(fmt::format("rank {} on {} runs other versions than rank 0: {}. Install the same on all hosts.",
                                 rank["rank"].get<std::int64_t>(), rank["host"].get<std::string>(),
                                 rank["versions"].dump()));
  }
}

// srun starts one task a process even where MPI cannot tell them of each other: each would do the whole job.
void judge_launcher(const World& world, ordered_json& warnings) {
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
  if (world.uses_mpi() || tasks == nullptr || std::strtol(tasks, nullptr, 10) <= 1) return;
  warnings.push_back(fmt::format("srun started {} tasks that do not know of each other. Use srun --mpi=pmix.", tasks));
}

void judge_clocks(const ordered_json& ranks, ordered_json& warnings) {
  constexpr double kWorthSaying = 1.0;  // seconds: what people and make notice in logs and times of files
  std::set<std::string> judged;
  for (const ordered_json& rank : ranks) {
    const auto offset = rank["clock"]["offset_seconds"].get<double>();
    if (std::abs(offset) - rank["clock"]["error_seconds"].get<double>() < kWorthSaying) continue;
    const auto host = rank["host"].get<std::string>();
    if (!judged.insert(host).second) continue;
    warnings.push_back(fmt::format(
        "the clock of {} is {:.1f} s {} that of {}: times in logs and of files mislead. Let chrony or NTP set both.",
        host, std::abs(offset), offset > 0 ? "ahead of" : "behind", ranks[0]["host"].get<std::string>()));
  }
}

ordered_json pair_tables(const SelfTest& test) {
  ordered_json microseconds = ordered_json::array();
  ordered_json gigabytes = ordered_json::array();
  for (const std::vector<PairTime>& row : test.pairs) {
    ordered_json& times = microseconds.emplace_back(ordered_json::array());
    ordered_json& speeds = gigabytes.emplace_back(ordered_json::array());
    for (const PairTime& time : row) {
      times.push_back(time.microseconds);
      speeds.push_back(time.gigabytes_per_second);
    }
  }
  return {{"microseconds", microseconds}, {"gigabytes_per_second", gigabytes}};
}

}  // namespace

ordered_json doctor_facts(World& world, const std::string& output) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string mine = rank_facts(world).dump();
  ordered_json ranks = ordered_json::array();
  for (const auto& bytes : world.gather(std::as_bytes(std::span(mine)))) {
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    ranks.push_back(ordered_json::parse(text, text + bytes.size()));
  }
  const SelfTest test = self_test(world);
  const std::vector<ClockOffset> clocks = clock_offsets(world);
  const ordered_json disks = disk_facts(world, output);
  if (!world.is_root()) return nullptr;
  for (std::size_t rank = 0; rank < clocks.size(); ++rank) {
    ranks[rank]["clock"] = {{"offset_seconds", clocks[rank].seconds}, {"error_seconds", clocks[rank].error}};
  }
  ordered_json facts = {{"versions", versions()},
                        {"launcher", world.uses_mpi() ? "MPI" : "none"},
                        {"devices", ranks[0]["devices"]},
                        {"machine", machine_facts()},
                        {"slurm", slurm_facts()},
                        {"ranks", ranks},
                        {"disks", disks},
                        {"pairs", pair_tables(test)},
                        {"warnings", ordered_json::array()},
                        {"faults", test.faults}};
  judge_versions(ranks, facts["faults"]);
  judge_cores(ranks, facts["warnings"]);
  judge_launcher(world, facts["warnings"]);
  judge_machine(facts["machine"], ranks[0]["memory_bytes"].get<std::uint64_t>(), facts["warnings"], facts["faults"]);
  judge_clocks(ranks, facts["warnings"]);
  judge_disks(disks, facts["warnings"]);
  for (ordered_json& rank : facts["ranks"]) {
    rank.erase("versions");
    rank.erase("devices");
  }
  facts["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return facts;
}

}  // namespace chorale
