#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/storage/checkpoint_file.hpp"
#include "core/storage/format_header.hpp"
#include "core/storage/hdf5.hpp"

namespace chorale {
namespace {

[[noreturn]] void refuse(const hdf5::Object& object, const std::string& problem) {
  throw InputError(fmt::format("{}: {}: {}. The file is damaged or not ours: use another checkpoint.",
                               object.place().file, printable(object.place().object), problem));
}

template <typename Value>
Value required(const hdf5::Object& object, const char* name, const std::optional<Value>& value) {
  if (!value) {
    refuse(object, fmt::format("the attribute '{}' is missing or of another kind", name));
  }
  return *value;
}

std::string text(const hdf5::Object& object, const char* name) {
  return required(object, name, object.string_attribute(name));
}

std::int64_t whole(const hdf5::Object& object, const char* name, std::int64_t lowest, std::int64_t highest) {
  const std::int64_t value = required(object, name, object.integer_attribute(name));
  if (value < lowest || value > highest) {
    refuse(object, fmt::format("the attribute '{}' is {}, not in [{}, {}]", name, value, lowest, highest));
  }
  return value;
}

double real(const hdf5::Object& object, const char* name) {
  const double value = required(object, name, object.real_attribute(name));
  if (!std::isfinite(value)) {
    refuse(object, fmt::format("the attribute '{}' is {}", name, value));
  }
  return value;
}

std::uint32_t member_number(const hdf5::Group& parent, const std::string& name) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || fmt::format("{:03}", number) != name) {
    refuse(parent, fmt::format("'{}' is no member's number", printable(name)));
  }
  return number;
}

// "<module path>/A" -> its two parts.
CheckpointFactor factor_named(const hdf5::Group& optimizer, const std::string& entry) {
  const std::size_t slash = entry.rfind('/');
  if (slash == std::string::npos || slash == 0 || entry.find('/') != slash || entry.size() != slash + 2 ||
      (entry.back() != 'A' && entry.back() != 'B')) {
    refuse(optimizer, fmt::format("'{}' in its order is no factor of a module", printable(entry)));
  }
  return {entry.substr(0, slash), entry.back(), 0, 0};
}

// The factors in the order of the flat buffers, with the shapes of their data sets.
std::vector<CheckpointFactor> read_factors(const hdf5::Group& adapter, const hdf5::Group& optimizer) {
  std::vector<CheckpointFactor> factors;
  std::set<std::string> seen;
  std::set<std::string> modules;
  std::size_t rank = 0;
  for (const std::string& entry : required(optimizer, "order", optimizer.strings_attribute("order"))) {
    CheckpointFactor factor = factor_named(optimizer, entry);
    if (!seen.insert(entry).second) {
      refuse(optimizer, fmt::format("'{}' comes twice in its order", printable(entry)));
    }
    modules.insert(factor.module);
    const hdf5::Dataset dataset = adapter.group(factor.module).dataset(std::string(1, factor.factor));
    if (dataset.shape().size() != 2 || dataset.elements() == 0) {
      refuse(dataset, "must be a matrix");
    }
    factor.rows = dataset.shape()[0];
    factor.columns = dataset.shape()[1];
    const std::size_t own_rank = factor.factor == 'A' ? factor.rows : factor.columns;
    if (rank != 0 && own_rank != rank) {
      refuse(dataset, fmt::format("has rank {}, other factors have {}", own_rank, rank));
    }
    rank = own_rank;
    factors.push_back(std::move(factor));
  }
  const std::vector<std::string> stored = adapter.names();
  if (factors.empty() || seen.size() != 2 * modules.size() ||
      modules != std::set<std::string>(stored.begin(), stored.end())) {
    refuse(adapter, "its modules are not those of the optimizer's order, each with A and B");
  }
  return factors;
}

// A flat buffer of the optimizer's group, checked in any case and read when its numbers are asked for.
std::vector<float> read_flat(const hdf5::Group& optimizer, const char* name, std::size_t parameters, bool numbers) {
  const hdf5::Dataset dataset = optimizer.dataset(name);
  if (dataset.shape() != std::vector<std::size_t>{parameters}) {
    refuse(dataset, fmt::format("must hold {} numbers, one for each of the member's parameters", parameters));
  }
  return numbers ? dataset.read<float>() : std::vector<float>();
}

std::vector<float> read_optional_flat(const hdf5::Group& optimizer, const char* name, std::size_t parameters,
                                      bool numbers) {
  return optimizer.contains(name) ? read_flat(optimizer, name, parameters, numbers) : std::vector<float>();
}

// The sums may be infinite or no numbers: losses of a member on its way to diverging are.
MemberProgress::Interval read_interval(const hdf5::Group& group, std::int64_t step, std::int64_t tokens) {
  const auto sum = [&](const char* name) { return required(group, name, group.real_attribute(name)); };
  MemberProgress::Interval interval;
  interval.steps = whole(group, "interval_steps", 0, step);
  interval.tokens = whole(group, "interval_tokens", 0, tokens);
  interval.loss = sum("interval_loss");
  interval.divergence = sum("interval_divergence");
  interval.gradient_norm = sum("interval_gradient_norm");
  interval.learning_rate = sum("interval_learning_rate");
  return interval;
}

MemberProgress read_progress(const hdf5::Group& group, std::int64_t step) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  MemberProgress progress;
  progress.updates = whole(group, "updates", 0, step);
  progress.training = whole(group, "training", 0, 1) == 1;
  progress.diverged = whole(group, "diverged", 0, 1) == 1;
  progress.stopped_at = whole(group, "stopped_at", -1, step);
  progress.best_step = whole(group, "best_step", -1, step);
  progress.best_value = real(group, "best_value");
  progress.since_best = whole(group, "since_best", 0, kMost);
  if (progress.training == (progress.stopped_at >= 0) || (progress.training && progress.diverged)) {
    refuse(group, "a member either trains or has stopped after some step");
  }
  if (group.has_attribute("tokens")) {
    progress.tokens = whole(group, "tokens", 0, kMost);
    progress.interval = read_interval(group, step, progress.tokens);
  }
  return progress;
}

// The header's scale and factors are taken from the first member; the others must be like it. The member's numbers are
// read only when they are asked for.
StoredMember read_member(const hdf5::Group& group, CheckpointHeader& header, bool numbers) {
  const hdf5::Group adapter = group.group("adapter");
  const hdf5::Group optimizer = group.group("optimizer");
  const double scale = real(adapter, "scale");
  std::vector<CheckpointFactor> factors = read_factors(adapter, optimizer);
  if (header.factors.empty()) {
    header.scale = scale;
    header.factors = std::move(factors);
  } else if (scale != header.scale || factors != header.factors) {
    refuse(adapter, "its modules, shapes or scale differ from another member's");
  }
  StoredMember member;
  for (const CheckpointFactor& factor : header.factors) {
    if (!numbers) break;
    const std::vector<float> values = adapter.group(factor.module).dataset(std::string(1, factor.factor)).read<float>();
    member.parameters.insert(member.parameters.end(), values.begin(), values.end());
  }
  const std::size_t parameters = header.parameters();
  member.first_moment = read_flat(optimizer, "first_moment", parameters, numbers);
  member.second_moment = read_flat(optimizer, "second_moment", parameters, numbers);
  member.best = read_optional_flat(optimizer, "best", parameters, numbers);
  member.continued = read_optional_flat(optimizer, "continued", parameters, numbers);
  member.progress = read_progress(group.group("progress"), header.step);
  return member;
}

// Without `wanted`: all members.
CheckpointContent read(const std::string& path, const std::optional<std::span<const std::uint32_t>>& wanted) {
  const hdf5::File file = hdf5::File::open(path);
  const hdf5::Group root = file.root();
  check_format_header(root, kCheckpointFormat, kCheckpointVersion);
  CheckpointContent content;
  static_cast<void>(text(root, "format"));
  static_cast<void>(whole(root, "format_version", 1, kCheckpointVersion));
  content.header.recipe = text(root, "recipe");
  content.header.placement = text(root, "placement");
  content.header.base_fingerprint = text(root, "base_fingerprint");
  content.header.step = whole(root, "step", 0, std::numeric_limits<std::int64_t>::max());
  content.header.validation_pending =
      root.has_attribute("validation_pending") && whole(root, "validation_pending", 0, 1) == 1;
  const hdf5::Group all = root.group("members");
  std::optional<std::uint32_t> last;
  for (const std::string& name : all.names()) {
    const std::uint32_t number = member_number(all, name);
    if (last && number <= *last) {
      refuse(all, "its members are not in ascending order");
    }
    last = number;
    const bool numbers = !wanted || std::find(wanted->begin(), wanted->end(), number) != wanted->end();
    StoredMember member = read_member(all.group(name), content.header, numbers);
    member.member = number;
    if (numbers) content.members.push_back(std::move(member));
  }
  if (!last) {
    refuse(all, "holds no member");
  }
  return content;
}

}  // namespace

CheckpointContent read_checkpoint_file(const std::string& path) {
  return read(path, std::nullopt);
}

CheckpointContent read_checkpoint_file(const std::string& path, std::span<const std::uint32_t> wanted) {
  return read(path, wanted);
}

}  // namespace chorale
