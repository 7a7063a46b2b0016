#include "core/training/checkpoint.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/errors.hpp"

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

at::Tensor row_from(const std::vector<float>& values) {
  // from_blob takes no const; the tensor is only read.
  return at::from_blob(const_cast<float*>(values.data()), {static_cast<std::int64_t>(values.size())}, at::kFloat);
}

MemberProgress progress_of(Trainer& trainer, std::size_t m, std::int64_t updates) {
  const MemberState& state = trainer.states()[m];
  const IntervalSums& sums = trainer.interval().sums()[m];
  MemberProgress progress;
  progress.updates = updates;
  progress.training = state.training;
  progress.diverged = state.diverged;
  progress.stopped_at = state.stopped_at;
  progress.best_step = state.best_step;
  progress.best_value = state.best_value;
  progress.since_best = state.since_best;
  progress.tokens = trainer.interval().tokens()[m];
  progress.interval = {sums.steps, sums.loss, sums.divergence, sums.gradient_norm, sums.tokens, sums.learning_rate};
  return progress;
}

MemberState state_of(const MemberProgress& progress) {
  return {progress.training,  progress.diverged,   progress.stopped_at,
          progress.best_step, progress.best_value, progress.since_best};
}

IntervalSums sums_of(const MemberProgress::Interval& stored) {
  return {stored.steps, stored.tokens, stored.loss, stored.divergence, stored.gradient_norm, stored.learning_rate};
}

void check_fits(const CheckpointHeader& header, const std::string& path, const std::string& base_fingerprint,
                const AdapterBank& bank) {
  if (header.base_fingerprint != base_fingerprint) {
    throw InputError(
        fmt::format("{}: its adapters were trained over another base model (fingerprint {}, here {}). Give "
                    "the base of their recipe.",
                    path, header.base_fingerprint, base_fingerprint));
  }
  if (header.factors != checkpoint_factors(bank) || header.scale != adapter_scale(bank.config())) {
    throw InputError(
        fmt::format("{}: its adapters have other modules, another rank or another scale than the recipe's. "
                    "Give the recipe they were trained with.",
                    path));
  }
}

// A bank's members as the groups' files hold them, in the bank's order, and the step they were stored at.
struct StoredMembers {
  std::int64_t step = -1;
  bool validation_pending = false;
  std::vector<StoredMember> members;
};

StoredMembers read_members(std::span<const std::string> files, const std::string& base_fingerprint,
                           const AdapterBank& bank) {
  StoredMembers stored;
  for (const std::string& path : files) {
    CheckpointContent content = read_checkpoint_file(path, bank.members());
    check_fits(content.header, path, base_fingerprint, bank);
    if (stored.step >= 0 && content.header.step != stored.step) {
      throw InputError(
          fmt::format("{}: was written after step {}, its neighbours after step {}. Use another checkpoint.", path,
                      content.header.step, stored.step));
    }
    stored.step = content.header.step;
    stored.validation_pending = content.header.validation_pending;
    for (StoredMember& member : content.members) stored.members.push_back(std::move(member));
  }
  std::vector<StoredMember>& members = stored.members;
  std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.member < b.member; });
  const bool complete = std::equal(members.begin(), members.end(), bank.members().begin(), bank.members().end(),
                                   [](const StoredMember& m, std::uint32_t wanted) { return m.member == wanted; });
  if (files.empty() || !complete) {
    throw InputError(
        fmt::format("{}: this checkpoint does not hold each of the members {} exactly once. Use another checkpoint.",
                    files.empty() ? std::string("no file") : files.front(), fmt::join(bank.members(), ", ")));
  }
  return stored;
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

GroupCheckpoint::GroupCheckpoint(const CheckpointLabels& labels, const AdapterBank& bank, Trainer& trainer) {
  header_.recipe = labels.recipe;
  header_.placement = labels.placement;
  header_.base_fingerprint = labels.base_fingerprint;
  header_.step = trainer.steps_done();
  header_.validation_pending = trainer.validation_pending();
  header_.scale = adapter_scale(bank.config());
  header_.factors = checkpoint_factors(bank);
  const bool ended = trainer.continued().defined();
  const bool has_best = !ended && trainer.stopping().best().defined();
  buffers_ = {on_host(bank.parameters()), on_host(trainer.optimiser().first_moment()),
              on_host(trainer.optimiser().second_moment())};
  if (ended) buffers_.push_back(on_host(trainer.continued()));
  if (has_best) buffers_.push_back(on_host(trainer.stopping().best()));
  const std::vector<std::int64_t> updates = trainer.optimiser().counts();
  for (std::int64_t m = 0; m < bank.member_count(); ++m) {
    const auto position = static_cast<std::size_t>(m);
    const MemberProgress progress = progress_of(trainer, position, updates[position]);
    MemberToStore member = {bank.members()[position],
                            row_of(buffers_[0], m),
                            row_of(buffers_[1], m),
                            row_of(buffers_[2], m),
                            progress,
                            {},
                            {}};
    if (ended && progress.best_step >= 0) member.continued = row_of(buffers_.back(), m);
    if (has_best && progress.best_step >= 0) member.best = row_of(buffers_.back(), m);
    members_.push_back(member);
  }
}

std::uint64_t GroupCheckpoint::bytes() const {
  return estimate_checkpoint_bytes(header_, members_);
}

void GroupCheckpoint::write(const std::string& path) const {
  write_checkpoint_file(path, header_, members_);
}

void load_adapters(std::span<const std::string> files, const std::string& base_fingerprint, AdapterBank& bank) {
  const StoredMembers stored = read_members(files, base_fingerprint, bank);
  for (std::int64_t m = 0; m < bank.member_count(); ++m) {
    const StoredMember& member = stored.members[static_cast<std::size_t>(m)];
    const bool has_older_best = !member.progress.training && !member.best.empty();
    bank.parameters()[m].copy_(row_from(has_older_best ? member.best : member.parameters));
  }
}

void restore_training(std::span<const std::string> files, const std::string& base_fingerprint, AdapterBank& bank,
                      Trainer& trainer) {
  const StoredMembers stored = read_members(files, base_fingerprint, bank);
  const std::vector<StoredMember>& members = stored.members;
  std::vector<MemberState> states;
  std::vector<IntervalSums> sums;
  std::vector<std::int64_t> tokens;
  std::vector<std::int64_t> updates;
  at::Tensor best;
  for (std::int64_t m = 0; m < bank.member_count(); ++m) {
    const StoredMember& member = members[static_cast<std::size_t>(m)];
    // Where the stored adapters are the best ones, training went on from others.
    const bool ended = !member.continued.empty();
    bank.parameters()[m].copy_(row_from(ended ? member.continued : member.parameters));
    trainer.optimiser().first_moment()[m].copy_(row_from(member.first_moment));
    trainer.optimiser().second_moment()[m].copy_(row_from(member.second_moment));
    updates.push_back(member.progress.updates);
    states.push_back(state_of(member.progress));
    sums.push_back(sums_of(member.progress.interval));
    tokens.push_back(member.progress.tokens);
    if (member.progress.best_step < 0) continue;
    if (!best.defined()) best = at::zeros_like(bank.parameters());
    best[m].copy_(row_from(member.best.empty() ? member.parameters : member.best));
  }
  trainer.optimiser().restore(stored.step, updates, states);
  trainer.stopping().restore(std::move(states), std::move(best));
  trainer.interval().restore(std::move(sums), std::move(tokens));
  trainer.set_steps_done(stored.step);
  trainer.set_validation_pending(stored.validation_pending);
}

}  // namespace chorale
