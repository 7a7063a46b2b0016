#include "distributed/cpu_share.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

namespace chorale {
namespace {

std::vector<int> allowed_cores() {
  std::vector<int> cores;
  // The kernel refuses a set smaller than its own, so it is asked with a larger one until it fits.
  for (int most = CPU_SETSIZE; most <= CPU_SETSIZE * 64; most *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(CPU_ALLOC(static_cast<std::size_t>(most)),
                                                               [](cpu_set_t* owned) { CPU_FREE(owned); });
    if (!set) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(most));
    if (sched_getaffinity(0, bytes, set.get()) != 0) continue;
    for (int core = 0; core < most; ++core) {
      if (CPU_ISSET_S(static_cast<std::size_t>(core), bytes, set.get())) cores.push_back(core);
    }
    break;
  }
  return cores;
}

bool overlap(const std::vector<int>& a, const std::vector<int>& b) {
  return std::any_of(a.begin(), a.end(), [&](int core) { return std::binary_search(b.begin(), b.end(), core); });
}

}  // namespace

CpuShare cpu_share(World& world) {
  CpuShare share;
  share.cores = allowed_cores();
  // By host, not by node: virtual nodes of one host share its cores all the same.
  const std::string mine = nlohmann::json{{"host", world.host()}, {"cores", share.cores}}.dump();
  std::set<int> shared;
  share.sharing = 0;
  for (const auto& bytes : world.everyone().all_gather(std::as_bytes(std::span(mine)))) {
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    const nlohmann::json other = nlohmann::json::parse(text, text + bytes.size());
    const auto cores = other["cores"].get<std::vector<int>>();
    if (other["host"] != world.host() || !overlap(cores, share.cores)) continue;
    ++share.sharing;
    shared.insert(cores.begin(), cores.end());
  }
  share.sharing = std::max<std::int64_t>(1, share.sharing);
  share.shared_cores.assign(shared.begin(), shared.end());
  return share;
}

std::string core_list(const std::vector<int>& cores) {
  std::string text;
  for (std::size_t first = 0; first < cores.size();) {
    std::size_t last = first;
    while (last + 1 < cores.size() && cores[last + 1] == cores[last] + 1) ++last;
    text += text.empty() ? "" : ",";
    text += first == last ? std::to_string(cores[first]) : fmt::format("{}-{}", cores[first], cores[last]);
    first = last + 1;
  }
  return text;
}

}  // namespace chorale
