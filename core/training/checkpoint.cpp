#include "core/training/checkpoint.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/storage/checkpoint_directory.hpp"

namespace chorale {
namespace {

// Float32 in this process's memory, rows back to back.
at::Tensor on_host(const at::Tensor& buffer) {
  return buffer.detach().to(at::kCPU, at::kFloat).contiguous();
}

std::span<const float> row_of(const at::Tensor& host, std::int64_t member) {
  const auto width = static_cast<std::size_t>(host.size(1));
  return {host.const_data_ptr<float>() + static_cast<std::size_t>(member) * width, width};
}

MemberProgress progress_of(const MemberState& state, std::int64_t updates) {
  MemberProgress progress;
  progress.updates = updates;
  progress.training = state.training;
  progress.diverged = state.diverged;
  progress.stopped_at = state.stopped_at;
  progress.best_step = state.best_step;
  progress.best_value = state.best_value;
  progress.since_best = state.since_best;
  return progress;
}

const StoredMember& stored(const CheckpointContent& content, const std::string& path, std::uint32_t member) {
  const auto found = std::find_if(content.members.begin(), content.members.end(),
                                  [&](const StoredMember& candidate) { return candidate.member == member; });
  if (found == content.members.end()) {
    throw InputError(fmt::format("{}: does not hold member {}. Give the file of its group.", path, member));
  }
  return *found;
}

}  // namespace

std::vector<CheckpointFactor> checkpoint_factors(const AdapterBank& bank) {
  struct Placed {
    std::int64_t offset;
    CheckpointFactor factor;
  };
  std::vector<Placed> placed;
  const auto rank = static_cast<std::size_t>(bank.config().rank);
  for (const AdapterSite& site : bank.layout().sites()) {
    placed.push_back({site.a_offset, {site.module, 'A', rank, static_cast<std::size_t>(site.in)}});
    placed.push_back({site.b_offset, {site.module, 'B', static_cast<std::size_t>(site.out), rank}});
  }
  std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) { return a.offset < b.offset; });
  std::vector<CheckpointFactor> factors;
  std::int64_t end = 0;
  for (Placed& entry : placed) {
    CHORALE_ASSERT(entry.offset == end, "the flat buffers have no gaps");
    end += static_cast<std::int64_t>(entry.factor.rows * entry.factor.columns);
    factors.push_back(std::move(entry.factor));
  }
  CHORALE_ASSERT(end == bank.layout().parameters(), "the flat buffers end with the last factor");
  return factors;
}

void write_group_checkpoint(const std::string& path, const CheckpointLabels& labels, const AdapterBank& bank,
                            Trainer& trainer) {
  CheckpointHeader header;
  header.recipe = labels.recipe;
  header.placement = labels.placement;
  header.base_fingerprint = labels.base_fingerprint;
  header.step = trainer.steps_done();
  header.scale = adapter_scale(bank.config());
  header.factors = checkpoint_factors(bank);
  const at::Tensor parameters = on_host(bank.parameters());
  const at::Tensor first_moment = on_host(trainer.optimiser().first_moment());
  const at::Tensor second_moment = on_host(trainer.optimiser().second_moment());
  std::vector<MemberToStore> members;
  for (std::int64_t m = 0; m < bank.member_count(); ++m) {
    const auto position = static_cast<std::size_t>(m);
    members.push_back({bank.members()[position], row_of(parameters, m), row_of(first_moment, m),
                       row_of(second_moment, m),
                       progress_of(trainer.states()[position], trainer.optimiser().counts()[position])});
  }
  write_checkpoint_file(path, header, members);
}

void save_checkpoint(const std::string& checkpoints, const CheckpointLabels& labels, const AdapterBank& bank,
                     Trainer& trainer) {
  const std::int64_t step = trainer.steps_done();
  const std::string unfinished = begin_checkpoint(checkpoints, step);
  write_group_checkpoint(unfinished + "/" + group_file_name(0), labels, bank, trainer);
  commit_checkpoint(checkpoints, step, 1);
}

void load_adapters(const CheckpointContent& content, const std::string& path, const std::string& base_fingerprint,
                   AdapterBank& bank) {
  if (content.header.base_fingerprint != base_fingerprint) {
    throw InputError(
        fmt::format("{}: its adapters were trained over another base model (fingerprint {}, here {}). Give "
                    "the base of their recipe.",
                    path, content.header.base_fingerprint, base_fingerprint));
  }
  if (content.header.factors != checkpoint_factors(bank) || content.header.scale != adapter_scale(bank.config())) {
    throw InputError(
        fmt::format("{}: its adapters have other modules, another rank or another scale than the recipe's. "
                    "Give the recipe they were trained with.",
                    path));
  }
  std::vector<const StoredMember*> rows;
  for (const std::uint32_t member : bank.members()) rows.push_back(&stored(content, path, member));
  for (std::int64_t m = 0; m < bank.member_count(); ++m) {
    const std::vector<float>& values = rows[static_cast<std::size_t>(m)]->parameters;
    // from_blob takes no const; the tensor is only read.
    at::Tensor row = at::from_blob(const_cast<float*>(values.data()), {bank.layout().parameters()}, at::kFloat);
    bank.parameters()[m].copy_(row);
  }
}

}  // namespace chorale
