#include "core/training/layout_agreement.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/base/sha256.hpp"

namespace chorale {

void agree_on_layout(const AdapterBank& bank, Communicator& group) {
  std::string text = fmt::format("members {} of {} parameters, rank {}, scale {}\n", fmt::join(bank.members(), " "),
                                 bank.layout().parameters(), bank.config().rank, adapter_scale(bank.config()));
  for (const AdapterSite& site : bank.layout().sites()) {
    text += fmt::format("{} {}x{} at {} {}\n", site.module, site.in, site.out, site.a_offset, site.b_offset);
  }
  const std::string digest = sha256(text);
  const auto all = group.all_gather(std::as_bytes(std::span(digest)));
  const auto differs = std::find_if(all.begin(), all.end(), [&](const auto& other) { return other != all.front(); });
  if (differs != all.end()) {
    throw UsageError(fmt::format(
        "rank {} of a group has other adapters than its rank 0 (modules, shapes or members differ). Give all "
        "ranks the same recipe, the same base model and the same program.",
        differs - all.begin()));
  }
}

}  // namespace chorale
