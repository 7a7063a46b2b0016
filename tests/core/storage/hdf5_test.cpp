#include "core/storage/hdf5.hpp"

#include <cstdint>
#include <filesystem>
#include <limits>
#include <numeric>

#include "core/base/errors.hpp"
#include "support/catch.hpp"
#include "support/scratch_directory.hpp"

using chorale::hdf5::Dataset;
using chorale::hdf5::File;
using chorale::hdf5::Group;
using chorale::test::ScratchDirectory;

TEST_CASE("numbers of all stored types, text and attributes survive a file") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("a.h5");
  std::vector<double> reals(2 * 70'000 * 3);
  std::iota(reals.begin(), reals.end(), -5.0);
  const std::vector<std::int64_t> wide = {std::numeric_limits<std::int64_t>::min(), 0,
                                          std::numeric_limits<std::int64_t>::max()};
  const std::vector<std::uint8_t> bytes = {0, 255};
  const std::vector<std::string> words = {"", "ä", "two words"};
  {
    File file = File::create(path);
    Group group = file.root().create_group("z").create_group("inner");
    Dataset dataset = group.write("reals", std::span<const double>(reals), {2, 70'000, 3});
    dataset.set_attribute("meaning", "numbers");
    dataset.set_attribute("axes", std::vector<std::string>{"a", "b", "c"});
    dataset.set_attribute("count", std::int64_t{-3});
    group.write("wide", std::span<const std::int64_t>(wide), {3});
    group.write("bytes", std::span<const std::uint8_t>(bytes), {2});
    group.write("empty", std::span<const float>(), {0, 4});
    group.write_strings("words", words);
    group.write_strings("none", {});
    file.root().create_group("a");
    file.commit();
  }
  const File file = File::open(path);
  CHECK(file.root().names() == std::vector<std::string>{"z", "a"});  // creation order
  const Group group = file.root().group("z").group("inner");
  const Dataset dataset = group.dataset("reals");
  CHECK(dataset.shape() == std::vector<std::size_t>{2, 70'000, 3});
  CHECK(dataset.read<double>() == reals);
  CHECK(dataset.string_attribute("meaning") == "numbers");
  CHECK(dataset.integer_attribute("count") == -3);
  CHECK(dataset.has_attribute("axes"));
  CHECK(dataset.string_attribute("axes") == std::nullopt);  // a list is not a text
  CHECK(dataset.string_attribute("absent") == std::nullopt);
  CHECK(group.dataset("wide").read<std::int64_t>() == wide);
  CHECK(group.dataset("bytes").read<std::uint8_t>() == bytes);
  CHECK(group.dataset("empty").read<float>().empty());
  CHECK(group.dataset("words").read_strings() == words);
  CHECK(group.dataset("none").read_strings().empty());
}

TEST_CASE("asking for what is not there, or is something else, names file and object") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("a.h5");
  {
    File file = File::create(path);
    Group root = file.root();
    const std::vector<float> values = {1.0F, 2.0F};
    root.write("numbers", std::span<const float>(values), {2});
    root.create_group("group");
    file.commit();
  }
  const File file = File::open(path);
  const Group root = file.root();
  const auto message = [&](auto action) -> std::string {
    try {
      action();
    } catch (const chorale::InputError& error) {
      return error.what();
    }
    return "no InputError";
  };
  const std::string missing = message([&] { (void)root.dataset("absent"); });
  CHECK(missing.find(path) != std::string::npos);
  CHECK(missing.find("/absent") != std::string::npos);
  CHECK(message([&] { (void)root.dataset("group"); }).find("/group") != std::string::npos);
  CHECK(message([&] { (void)root.group("numbers"); }).find("/numbers") != std::string::npos);
  CHECK(message([&] { (void)root.dataset("numbers").read<std::int32_t>(); }).find("whole") != std::string::npos);
  CHECK(message([&] { (void)root.dataset("numbers").read_strings(); }).find("strings") != std::string::npos);
}

TEST_CASE("a file that is never committed leaves nothing on disk") {
  const ScratchDirectory scratch;
  {
    File file = File::create(scratch.file("a.h5"));
    file.root().create_group("x");
  }
  CHECK(std::filesystem::is_empty(scratch.path()));
}
