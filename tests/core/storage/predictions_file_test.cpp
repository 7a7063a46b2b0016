#include "core/storage/predictions_file.hpp"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <limits>

#include "core/base/errors.hpp"
#include "core/storage/hdf5.hpp"
#include "support/catch.hpp"
#include "support/random_predictions.hpp"
#include "support/scratch_directory.hpp"

using chorale::Predictions;
using chorale::test::narrowed;
using chorale::test::RandomPredictions;
using chorale::test::ScratchDirectory;

namespace {

Predictions random_set(const std::string& name, std::uint64_t seed) {
  RandomPredictions random;
  random.some_missing = true;
  Predictions set = narrowed(random.make(seed));
  set.name = name;
  return set;
}

template <typename Expected, typename Action>
std::string message_of(Action&& action) {
  try {
    action();
  } catch (const Expected& error) {
    return error.what();
  }
  return "nothing of the expected kind was thrown";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("predictions come back bit for bit, sets in the order they were written") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("predictions.h5");
  std::vector<Predictions> sets = {random_set("test", 1), random_set("a shifted set, with umlaut ä", 2),
                                   random_set("0", 3)};
  sets[1].labels.assign(sets[1].examples, -1);
  sets[2].example_ids[5] = std::string(100'000, 'x');  // forces variable-length text
  chorale::write_predictions(path, sets, {{"recipe", "name: x\nseed: 1\n"}});
  const std::vector<Predictions> read = chorale::read_predictions_file(path);
  REQUIRE(read.size() == sets.size());
  for (std::size_t index = 0; index < sets.size(); ++index) {
    CHECK(read[index].name == sets[index].name);
    CHECK(read[index].members == sets[index].members);
    CHECK(read[index].log_probabilities == sets[index].log_probabilities);
    CHECK(read[index].labels == sets[index].labels);
    CHECK(read[index].example_ids == sets[index].example_ids);
  }
}

TEST_CASE("equal predictions give equal bytes") {
  const ScratchDirectory scratch;
  const std::vector<Predictions> sets = {random_set("test", 1)};
  chorale::write_predictions(scratch.file("a.h5"), sets);
  chorale::write_predictions(scratch.file("b.h5"), sets);
  CHECK(chorale::test::content_of(scratch.file("a.h5")) == chorale::test::content_of(scratch.file("b.h5")));
}

TEST_CASE("set names that cannot stand in a path are refused before anything is on disk") {
  const ScratchDirectory scratch;
  for (const char* name : {"", ".", "a/b", "test"}) {
    const std::vector<Predictions> sets = {random_set("test", 1), random_set(name, 2)};
    CHECK_THROWS_AS(chorale::write_predictions(scratch.file("p.h5"), sets), chorale::InputError);
  }
  CHECK(std::filesystem::is_empty(scratch.path()));
}

TEST_CASE("a full disk is a StorageError with a remedy, the old file stays, and the program lives on") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("predictions.h5");
  const std::vector<Predictions> small = {random_set("test", 1)};
  chorale::write_predictions(path, small);
  const std::string before = chorale::test::content_of(path);
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t bytes : {0U, 512U, 4000U}) {
    rlimit tight = limit;
    tight.rlim_cur = bytes;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &tight) == 0);
    const std::vector<Predictions> sets = {random_set("test", 2), random_set("more", 3)};
    const std::string message = message_of<chorale::StorageError>([&] { chorale::write_predictions(path, sets); });
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(contains(message, path));
    CHECK(contains(message, "File too large"));
    CHECK(chorale::test::content_of(path) == before);
  }
  std::signal(SIGXFSZ, handler);
  chorale::write_predictions(path, small);
  CHECK(chorale::read_predictions_file(path).front().log_probabilities == small.front().log_probabilities);
}

TEST_CASE("every cut and every flipped byte is refused by name") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("predictions.h5");
  const std::string damaged = scratch.file("damaged.h5");
  const std::vector<Predictions> sets = {random_set("test", 1)};
  chorale::write_predictions(path, sets);
  const std::string whole = chorale::test::content_of(path);
  const auto refused = [&](const std::string& content) {
    chorale::test::write_content(damaged, content);
    return contains(message_of<chorale::InputError>([&] { (void)chorale::read_predictions_file(damaged); }), damaged);
  };
  // The library's own end of file lies up to a page before the seal; a cut behind it takes nothing but the seal.
  for (std::size_t size = 0; size + 8192 < whole.size(); size += 509) {
    CAPTURE(size);
    CHECK(refused(whole.substr(0, size)));
  }
  const std::size_t marker = whole.rfind("\nchorale-sha256:");
  for (std::size_t position = 0; position < marker; position += 61) {
    std::string content = whole;
    content[position] = static_cast<char>(content[position] ^ 0x10);
    CAPTURE(position);
    CHECK(refused(content));
  }
  std::string content = whole;
  content[whole.size() - 2] = content[whole.size() - 2] == '0' ? '1' : '0';
  CHECK(refused(content));
  CHECK_FALSE(refused(whole));
}

TEST_CASE("files of another kind or a newer version are refused by name") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("other.h5");
  const auto file_with = [&](const std::string& format, std::int64_t version, bool group) {
    chorale::hdf5::File file = chorale::hdf5::File::create(path);
    chorale::hdf5::Group root = file.root();
    root.set_attribute("format", format);
    root.set_attribute("format_version", version);
    if (group) {
      root.create_group("predictions");
    }
    file.commit();
    return message_of<chorale::InputError>([&] { (void)chorale::read_predictions_file(path); });
  };
  const std::string newer = file_with("chorale-predictions", 7, true);
  CHECK(contains(newer, "format_version 7"));
  CHECK(contains(newer, "up to 1"));
  CHECK(contains(file_with("chorale-checkpoint", 1, true), "format 'chorale-checkpoint'"));
  CHECK(contains(file_with("chorale-predictions", 1, false), "no group /predictions"));
  CHECK(contains(file_with("chorale-predictions", 1, true), "no set of predictions"));
  chorale::test::write_content(path, "{}");
  CHECK(contains(message_of<chorale::InputError>([&] { (void)chorale::read_predictions_file(path); }), "no HDF5 file"));
  CHECK(contains(message_of<chorale::InputError>([&] { (void)chorale::read_predictions_file("/nowhere/x.h5"); }),
                 "No such file"));
  CHECK(contains(message_of<chorale::InputError>([&] { (void)chorale::read_predictions_file("/"); }), "cannot read /"));
}
