#include "core/storage/checkpoint_file.hpp"

#include <filesystem>
#include <functional>
#include <limits>

#include "core/base/errors.hpp"
#include "core/storage/format_header.hpp"
#include "core/storage/hdf5.hpp"
#include "support/catch.hpp"
#include "support/checkpoint_content.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using test::checkpoint_content;
using test::contains;
using test::content_of;
using test::input_error_of;
using test::ScratchDirectory;
using test::write_content;
using test::write_content_to;

namespace {

void check_equal(const CheckpointContent& read, const CheckpointContent& written) {
  CHECK(read.header.recipe == written.header.recipe);
  CHECK(read.header.placement == written.header.placement);
  CHECK(read.header.base_fingerprint == written.header.base_fingerprint);
  CHECK(read.header.step == written.header.step);
  CHECK(read.header.scale == written.header.scale);
  CHECK(read.header.factors == written.header.factors);
  REQUIRE(read.members.size() == written.members.size());
  for (std::size_t m = 0; m < written.members.size(); ++m) {
    CHECK(read.members[m].member == written.members[m].member);
    CHECK(read.members[m].parameters == written.members[m].parameters);
    CHECK(read.members[m].first_moment == written.members[m].first_moment);
    CHECK(read.members[m].second_moment == written.members[m].second_moment);
    CHECK(read.members[m].progress == written.members[m].progress);
    CHECK(read.members[m].best == written.members[m].best);
    CHECK(read.members[m].continued == written.members[m].continued);
  }
}

// The message with which a checkpoint with one thing changed is refused.
std::string refusal(const std::function<void(CheckpointContent&)>& change) {
  const ScratchDirectory scratch;
  CheckpointContent content = checkpoint_content();
  change(content);
  write_content_to(scratch.file("group_000.h5"), content);
  return input_error_of([&] { static_cast<void>(read_checkpoint_file(scratch.file("group_000.h5"))); });
}

// A file written by hand: one member, one module, and whatever `change` does to the groups.
struct ByHand {
  std::string format = kCheckpointFormat;
  std::int64_t version = kCheckpointVersion;
  std::string member = "000";
  std::vector<std::string> order = {"m/A", "m/B"};
  std::vector<std::size_t> shape_of_a = {2, 3};
  std::size_t moments = 14;
  std::string left_out;         // an attribute of the root, of progress, or `scale`
  bool tokens = false;          // with what files of the first programs lack
  std::int64_t interval = 0;    // its steps
  std::size_t best = 0;         // numbers of this data set of the optimizer; 0: there is none
  CheckpointContent read = {};  // by refusal(), when nothing is refused

  [[nodiscard]] std::string refusal() {
    const ScratchDirectory scratch;
    const std::string path = scratch.file("by_hand.h5");
    write(path);
    return input_error_of([&] { read = read_checkpoint_file(path); });
  }

  void write(const std::string& path) const {
    hdf5::File file = hdf5::File::create(path);
    {
      const auto set = [&](hdf5::Object& object, const char* name, auto value) {
        if (left_out != name) object.set_attribute(name, value);
      };
      hdf5::Group root = file.root();
      set(root, "format", format);
      set(root, "format_version", version);
      for (const char* name : {"recipe", "placement", "base_fingerprint"}) set(root, name, std::string("x"));
      set(root, "step", std::int64_t{4});
      hdf5::Group group = root.create_group("members").create_group(member);
      hdf5::Group adapter = group.create_group("adapter");
      set(adapter, "scale", 2.0);
      hdf5::Group module = adapter.create_group("m");
      const std::vector<float> values(100, 1.0F);
      const auto numbers = [&](std::size_t count) { return std::span<const float>(values).first(count); };
      std::size_t count = 1;
      for (const std::size_t length : shape_of_a) count *= length;
      module.write("A", numbers(count), shape_of_a);
      module.write("B", numbers(8), {4, 2});
      hdf5::Group optimizer = group.create_group("optimizer");
      optimizer.set_attribute("order", order);
      optimizer.write("first_moment", numbers(14), {14});
      optimizer.write("second_moment", numbers(moments), {moments});
      if (best > 0) optimizer.write("best", numbers(best), {best});
      hdf5::Group progress = group.create_group("progress");
      for (const char* name : {"updates", "diverged", "since_best"}) set(progress, name, std::int64_t{0});
      set(progress, "training", std::int64_t{1});
      for (const char* name : {"stopped_at", "best_step"}) set(progress, name, std::int64_t{-1});
      set(progress, "best_value", 0.0);
      if (!tokens) return file.commit();
      set(progress, "tokens", std::int64_t{50});
      set(progress, "interval_steps", interval);
      set(progress, "interval_tokens", std::int64_t{50});
      const double nan = std::numeric_limits<double>::quiet_NaN();
      for (const char* name : {"loss", "divergence", "gradient_norm", "learning_rate"}) {
        set(progress, (std::string("interval_") + name).c_str(), nan);
      }
    }
    file.commit();
  }
};

std::string refusal_without(const std::string& attribute) {
  ByHand file;
  file.left_out = attribute;
  return file.refusal();
}

}  // namespace

TEST_CASE("a checkpoint's file comes back bit for bit, and equal contents give equal bytes") {
  const ScratchDirectory scratch;
  const CheckpointContent written = checkpoint_content();
  write_content_to(scratch.file("a.h5"), written);
  check_equal(read_checkpoint_file(scratch.file("a.h5")), written);
  write_content_to(scratch.file("b.h5"), written);
  CHECK(content_of(scratch.file("a.h5")) == content_of(scratch.file("b.h5")));
  CHECK(format_of_file(scratch.file("a.h5")) == "chorale-checkpoint");
}

TEST_CASE("every cut and every flipped byte of a checkpoint's file is refused by name") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("group_000.h5");
  const std::string damaged = scratch.file("damaged.h5");
  write_content_to(path, checkpoint_content());
  const std::string whole = content_of(path);
  const auto refused = [&](const std::string& content) {
    write_content(damaged, content);
    return input_error_of([&] { static_cast<void>(read_checkpoint_file(damaged)); }).find(damaged) != std::string::npos;
  };
  const std::size_t marker = whole.rfind("\nchorale-sha256:");
  REQUIRE(marker != std::string::npos);
  for (std::size_t size = 0; size + 4096 < marker; size += 1021) {
    CAPTURE(size);
    CHECK(refused(whole.substr(0, size)));
  }
  for (std::size_t position = 0; position < marker; position += 211) {
    std::string content = whole;
    content[position] = static_cast<char>(content[position] ^ 0x10);
    CAPTURE(position);
    CHECK(refused(content));
  }
  CHECK_FALSE(refused(whole));
}

TEST_CASE("a newer checkpoint is refused naming both versions, and another kind of file both kinds") {
  ByHand newer;
  newer.version = 7;
  CHECK_THAT(newer.refusal(), contains("format_version 7") && contains("up to 1"));
  ByHand other;
  other.format = "chorale-predictions";
  CHECK_THAT(other.refusal(), contains("'chorale-predictions'") && contains("'chorale-checkpoint'"));
}

TEST_CASE("the file written by hand is read when nothing is wrong with it") {
  CHECK(ByHand().refusal() == "no InputError");
}

TEST_CASE("a file without what came later is read with its defaults") {
  ByHand old;
  REQUIRE(old.refusal() == "no InputError");
  REQUIRE(old.read.members.size() == 1);
  const StoredMember& member = old.read.members[0];
  CHECK(member.progress == MemberProgress());
  CHECK(member.progress.interval == MemberProgress::Interval());
  CHECK(member.parameters == std::vector<float>(14, 1.0F));
  CHECK((member.best.empty() && member.continued.empty()));
}

TEST_CASE("what came later is checked like the rest, but sums may be no numbers") {
  const auto with = [](auto change) {
    ByHand file;
    file.tokens = true;
    file.best = 14;
    change(file);
    return file.refusal();
  };
  CHECK(with([](ByHand&) {}) == "no InputError");
  CHECK_THAT(with([](ByHand& f) { f.best = 13; }), contains("/best: must hold 14 numbers"));
  CHECK_THAT(with([](ByHand& f) { f.interval = 5; }), contains("'interval_steps' is 5, not in [0, 4]"));
  CHECK_THAT(with([](ByHand& f) { f.interval = -1; }), contains("'interval_steps' is -1"));
  for (const char* name : {"interval_steps", "interval_tokens", "interval_loss", "interval_divergence",
                           "interval_gradient_norm", "interval_learning_rate"}) {
    CAPTURE(name);
    CHECK_THAT(with([&](ByHand& f) { f.left_out = name; }), contains("'" + std::string(name) + "' is missing"));
  }
}

TEST_CASE("a part of the members is read as the whole file has them") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("group_000.h5");
  const CheckpointContent written = checkpoint_content();
  write_content_to(path, written);
  const auto of = [&](std::vector<std::uint32_t> wanted) {
    CheckpointContent read = read_checkpoint_file(path, wanted);
    CHECK(read.header.factors == written.header.factors);
    CHECK(read.header.scale == written.header.scale);
    return read;
  };
  CheckpointContent expected = written;
  CHECK(test::same_content(of({1000, 3, 7}), expected));
  expected.members.erase(expected.members.begin());
  CHECK(test::same_content(of({1000}), expected));
  CHECK(of({4, 5}).members.empty());
  CHECK(of({}).members.empty());
  // Members nobody wants are checked all the same.
  CheckpointContent wrong = written;
  wrong.members[0].progress.updates = 1000;
  write_content_to(path, wrong);
  CHECK_THAT(input_error_of([&] { static_cast<void>(of({1000})); }), contains("'updates' is 1000"));
}

TEST_CASE("a file is never larger than estimated, nor much smaller when it is large") {
  const ScratchDirectory scratch;
  for (const std::size_t columns : {1U, 500U, 20000U, 70000U}) {
    CheckpointContent content = checkpoint_content();
    content.header.factors = {{"m", 'A', 3, columns}, {"m", 'B', columns, 3}, {"n", 'A', 3, 9}, {"n", 'B', 9, 3}};
    std::vector<MemberToStore> members;
    const std::vector<float> numbers(content.header.parameters(), 0.5F);
    for (std::uint32_t member = 0; member < 2; ++member) {
      members.push_back({member, numbers, numbers, numbers, content.members[0].progress, numbers, {}});
    }
    const std::string path = scratch.file("file.h5");
    write_checkpoint_file(path, content.header, members);
    const std::uint64_t bytes = std::filesystem::file_size(path);
    const std::uint64_t estimate = estimate_checkpoint_bytes(content.header, members);
    CAPTURE(columns, bytes, estimate);
    CHECK(bytes <= estimate);
    CHECK(estimate < 3 * bytes + 300000);
  }
}

TEST_CASE("a checkpoint's file without one of its attributes is refused naming it") {
  for (const char* name : {"format", "format_version", "recipe", "placement", "base_fingerprint", "step", "scale",
                           "updates", "training", "diverged", "stopped_at", "best_step", "best_value", "since_best"}) {
    CAPTURE(name);
    CHECK_THAT(refusal_without(name), contains("'" + std::string(name) + "' is missing"));
  }
}

TEST_CASE("parts that do not fit together are refused") {
  const auto with = [](auto change) {
    ByHand file;
    change(file);
    return file.refusal();
  };
  CHECK_THAT(with([](ByHand& f) { f.member = "0"; }), contains("no member's number"));
  CHECK_THAT(with([](ByHand& f) { f.member = "-01"; }), contains("no member's number"));
  CHECK_THAT(with([](ByHand& f) { f.order = {"m/A"}; }), contains("each with A and B"));
  CHECK_THAT(with([](ByHand& f) { f.order = {}; }), contains("each with A and B"));
  CHECK_THAT(with([](ByHand& f) { f.order = {"m/A", "m/B", "m/A"}; }), contains("comes twice"));
  CHECK_THAT(with([](ByHand& f) { f.order = {"m/A", "m/C"}; }), contains("no factor"));
  CHECK_THAT(with([](ByHand& f) { f.order = {"m/A", "/B"}; }), contains("no factor"));
  CHECK_THAT(with([](ByHand& f) { f.order = {"m/A", "m/B", "n/A", "n/B"}; }), contains("/n is missing"));
  CHECK_THAT(with([](ByHand& f) { f.shape_of_a = {3, 2}; }), contains("rank 2, other factors have 3"));
  CHECK_THAT(with([](ByHand& f) { f.shape_of_a = {6}; }), contains("must be a matrix"));
  CHECK_THAT(with([](ByHand& f) { f.shape_of_a = {2, 0}; }), contains("must be a matrix"));
  CHECK_THAT(with([](ByHand& f) { f.moments = 13; }), contains("second_moment: must hold 14 numbers"));
  // A is found by its data set, so a shape that only changes its length shows in the moments.
  CHECK_THAT(with([](ByHand& f) { f.shape_of_a = {2, 4}; }), contains("must hold 16 numbers"));
}

TEST_CASE("progress that cannot be is refused") {
  const auto with = [](auto change) {
    return refusal([&](CheckpointContent& content) { change(content.members[0].progress); });
  };
  CHECK_THAT(with([](MemberProgress& p) { p.updates = 101; }), contains("'updates' is 101"));
  CHECK_THAT(with([](MemberProgress& p) { p.updates = -1; }), contains("'updates' is -1"));
  CHECK_THAT(with([](MemberProgress& p) { p.best_step = 101; }), contains("'best_step' is 101"));
  CHECK_THAT(with([](MemberProgress& p) { p.since_best = -2; }), contains("'since_best' is -2"));
  CHECK_THAT(with([](MemberProgress& p) { p.best_value = std::numeric_limits<double>::quiet_NaN(); }),
             contains("'best_value' is nan"));
  CHECK_THAT(with([](MemberProgress& p) { p.diverged = true; }), contains("either trains or has stopped"));
  CHECK_THAT(with([](MemberProgress& p) { p.stopped_at = 5; }), contains("either trains or has stopped"));
  CHECK_THAT(refusal([](CheckpointContent& content) { content.members.clear(); }), contains("holds no member"));
  CHECK_THAT(refusal([](CheckpointContent& content) { std::swap(content.members[0], content.members[1]); }),
             contains("not in ascending order"));
}
