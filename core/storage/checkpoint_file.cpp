#include "core/storage/checkpoint_file.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/storage/format_header.hpp"
#include "core/storage/hdf5.hpp"

namespace chorale {
namespace {

void write_adapter(hdf5::Group& parent, const CheckpointHeader& header, std::span<const float> parameters) {
  hdf5::Group adapter = parent.create_group("adapter");
  adapter.set_attribute("meaning",
                        "LoRA factors, one group per adapted linear: it gives W x + scale * B (A x). They are the "
                        "member's best under early stopping once training has ended, else its last.");
  adapter.set_attribute("scale", header.scale);
  std::size_t offset = 0;
  for (const CheckpointFactor& factor : header.factors) {
    hdf5::Group module =
        adapter.contains(factor.module) ? adapter.group(factor.module) : adapter.create_group(factor.module);
    const std::size_t count = factor.rows * factor.columns;
    const bool is_a = factor.factor == 'A';
    hdf5::Dataset dataset =
        module.write(is_a ? "A" : "B", parameters.subspan(offset, count), {factor.rows, factor.columns});
    dataset.set_attribute("meaning", is_a ? "maps the linear's input to the adapter's rank"
                                          : "maps the adapter's rank to the linear's output");
    dataset.set_attribute("axes",
                          is_a ? std::vector<std::string>{"rank", "in"} : std::vector<std::string>{"out", "rank"});
    offset += count;
  }
}

void write_optimizer(hdf5::Group& parent, const CheckpointHeader& header, const MemberToStore& member) {
  hdf5::Group optimizer = parent.create_group("optimizer");
  optimizer.set_attribute("meaning",
                          "AdamW's moments after the member's last update, flat: the factors listed in order, each "
                          "row-major, back to back");
  std::vector<std::string> order;
  for (const CheckpointFactor& factor : header.factors) {
    order.push_back(fmt::format("{}/{}", factor.module, factor.factor));
  }
  optimizer.set_attribute("order", order);
  const auto write = [&](const char* name, std::span<const float> values, const char* meaning) {
    hdf5::Dataset dataset = optimizer.write(name, values, {values.size()});
    dataset.set_attribute("meaning", meaning);
    dataset.set_attribute("axes", std::vector<std::string>{"parameter"});
  };
  write("first_moment", member.first_moment, "running mean of the gradients, not corrected for its start at zero");
  write("second_moment", member.second_moment,
        "running mean of the squared gradients, not corrected for its start at zero");
  if (!member.best.empty()) {
    write("best", member.best, "the factors after the member's best validation; the group adapter holds its last");
  }
  if (!member.continued.empty()) {
    write("continued", member.continued,
          "the factors that training goes on from; the group adapter holds those of the best validation");
  }
}

void write_progress(hdf5::Group& parent, const MemberProgress& progress) {
  hdf5::Group group = parent.create_group("progress");
  group.set_attribute("meaning",
                      "updates: optimiser steps the member took part in; training, diverged: 1 or 0; stopped_at: step "
                      "after which it stopped; best_step, best_value: step and value of its best validation by the "
                      "stopping metric, smaller is better (an accuracy is stored negated); since_best: validations "
                      "since then; tokens: trained on so far; interval_steps, interval_tokens, interval_loss, "
                      "interval_divergence, interval_gradient_norm: sums since the last line of the log, "
                      "interval_learning_rate: of the last of these steps. A step of -1: there is none.");
  group.set_attribute("updates", progress.updates);
  group.set_attribute("training", std::int64_t{progress.training ? 1 : 0});
  group.set_attribute("diverged", std::int64_t{progress.diverged ? 1 : 0});
  group.set_attribute("stopped_at", progress.stopped_at);
  group.set_attribute("best_step", progress.best_step);
  group.set_attribute("best_value", progress.best_value);
  group.set_attribute("since_best", progress.since_best);
  group.set_attribute("tokens", progress.tokens);
  group.set_attribute("interval_steps", progress.interval.steps);
  group.set_attribute("interval_tokens", progress.interval.tokens);
  group.set_attribute("interval_loss", progress.interval.loss);
  group.set_attribute("interval_divergence", progress.interval.divergence);
  group.set_attribute("interval_gradient_norm", progress.interval.gradient_norm);
  group.set_attribute("interval_learning_rate", progress.interval.learning_rate);
}

}  // namespace

std::size_t CheckpointHeader::parameters() const {
  std::size_t count = 0;
  for (const CheckpointFactor& factor : factors) {
    count += factor.rows * factor.columns;
  }
  return count;
}

std::uint64_t estimate_checkpoint_bytes(const CheckpointHeader& header, std::span<const MemberToStore> members) {
  // A data set of `count` numbers: its chunks, of at most 512 KiB, padded by less than one; their index and checksums;
  // and the object with its attributes.
  const auto dataset = [](std::size_t count) -> std::uint64_t {
    const std::uint64_t bytes = 4 * std::uint64_t{count};
    return bytes + std::min(bytes, std::uint64_t{512} << 10U) + bytes / 1024 + 4096;
  };
  std::uint64_t of_member = 16384;
  for (const CheckpointFactor& factor : header.factors) of_member += dataset(factor.rows * factor.columns) + 4096;
  std::uint64_t bytes = 65536 + header.recipe.size() + header.placement.size();
  for (const MemberToStore& member : members) {
    bytes += of_member;
    for (const auto& flat : {member.first_moment, member.second_moment, member.best, member.continued}) {
      bytes += dataset(flat.size());
    }
  }
  return bytes;
}

void write_checkpoint_file(const std::string& path, const CheckpointHeader& header,
                           std::span<const MemberToStore> members) {
  hdf5::File file = hdf5::File::create(path);
  {
    hdf5::Group root = file.root();
    write_format_header(root, kCheckpointFormat, kCheckpointVersion);
    root.set_attribute("meaning", "state of some members of an ensemble of LoRA adapters after `step` optimiser steps");
    root.set_attribute("recipe", header.recipe);
    root.set_attribute("placement", header.placement);
    root.set_attribute("base_fingerprint", header.base_fingerprint);
    root.set_attribute("step", header.step);
    if (header.validation_pending) root.set_attribute("validation_pending", std::int64_t{1});
    hdf5::Group all = root.create_group("members");
    all.set_attribute("meaning", "one group per member, named by its number in the ensemble");
    for (const MemberToStore& member : members) {
      const std::size_t parameters = header.parameters();
      const auto fits = [parameters](std::span<const float> buffer) { return buffer.size() == parameters; };
      CHORALE_ASSERT(fits(member.parameters) && fits(member.first_moment) && fits(member.second_moment) &&
                         (member.best.empty() || fits(member.best)) &&
                         (member.continued.empty() || fits(member.continued)),
                     "a member's buffers must be as long as its factors together");
      hdf5::Group group = all.create_group(fmt::format("{:03}", member.member));
      write_adapter(group, header, member.parameters);
      write_optimizer(group, header, member);
      write_progress(group, member.progress);
    }
  }
  file.commit();
}

}  // namespace chorale
