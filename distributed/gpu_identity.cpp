#include "distributed/gpu_identity.hpp"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"

namespace chorale {
namespace {

GpuIdentity parse(const std::vector<std::byte>& bytes, std::int64_t rank) {
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  GpuIdentity identity;
  try {
    const nlohmann::json json = nlohmann::json::parse(text, text + bytes.size());
    identity = {json.at("rank").get<std::int64_t>(), json.at("group").get<std::int64_t>(),
                json.at("host").get<std::string>(), json.at("gpu").get<std::string>(),
                json.at("nccl_host").get<std::string>()};
  } catch (const nlohmann::json::exception& error) {
    throw InternalError(fmt::format("rank {} does not say which GPU it has: {}", rank, printable(error.what(), 200)));
  }
  CHORALE_ASSERT(identity.rank == rank && identity.group >= 0 && identity.group <= rank,
                 fmt::format("rank {} calls itself rank {} of group {}", rank, identity.rank, identity.group));
  return identity;
}

}  // namespace

std::string to_text(const GpuIdentity& identity) {
  return nlohmann::json{{"rank", identity.rank},
                        {"group", identity.group},
                        {"host", identity.host},
                        {"gpu", identity.gpu},
                        {"nccl_host", identity.nccl_host}}  // Host names need not be UTF-8.
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<GpuIdentity> gpu_table(const std::vector<std::vector<std::byte>>& texts) {
  std::vector<GpuIdentity> table;
  for (const auto& bytes : texts) table.push_back(parse(bytes, static_cast<std::int64_t>(table.size())));
  return table;
}

std::vector<std::int64_t> groups_of(std::span<const GpuIdentity> table) {
  std::set<std::int64_t> groups;
  for (const GpuIdentity& identity : table) groups.insert(identity.group);
  return {groups.begin(), groups.end()};
}

void refuse_shared_gpus(std::span<const GpuIdentity> table, std::int64_t group) {
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i].group != group || table[i].gpu.empty()) continue;
    for (std::size_t j = 0; j < i; ++j) {
      const bool same = table[j].group == group && table[j].gpu == table[i].gpu;
      if (!same || table[j].nccl_host != table[i].nccl_host) continue;
      throw UsageError(
          fmt::format("ranks {} and {} on {} share the GPU {}, and NCCL needs one for each rank of a group. Start one "
                      "rank per GPU (fewer ranks per node), raise distributed.groups so that ranks on one GPU are in "
                      "different groups, or set distributed.backend: mpi.",
                      table[j].rank, table[i].rank, printable(table[i].host), printable(table[i].gpu)));
    }
  }
}

std::string describe_shared_gpus(std::span<const GpuIdentity> table) {
  std::map<std::string, std::vector<const GpuIdentity*>> by_gpu;
  for (const GpuIdentity& identity : table) {
    if (!identity.gpu.empty()) by_gpu[identity.gpu].push_back(&identity);
  }
  std::string shared;
  for (const auto& [gpu, ranks] : by_gpu) {
    if (ranks.size() < 2) continue;
    std::string numbers;
    for (const GpuIdentity* identity : ranks)
      numbers += fmt::format("{}{}", numbers.empty() ? "" : ", ", identity->rank);
    shared += fmt::format("{}{} on {} (ranks {})", shared.empty() ? "" : "; ", printable(gpu),
                          printable(ranks.front()->host), numbers);
  }
  if (shared.empty()) return shared;
  return fmt::format("GPUs computed on by several ranks, which take turns and share the memory: {}", shared);
}

}  // namespace chorale
