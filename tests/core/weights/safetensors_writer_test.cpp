#include "core/weights/safetensors_writer.hpp"

#include <filesystem>
#include <numeric>

#include "core/base/errors.hpp"
#include "core/base/sha256.hpp"
#include "core/weights/safetensors.hpp"
#include "support/catch.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

const std::vector<TensorEntry> kEntries{{"b", {4, 3}}, {"none", {0, 7}}, {"a", {5}}};

std::vector<float> values_of(const SafetensorsFile& file, const std::string& name) {
  std::vector<float> values(static_cast<std::size_t>(file.at(name).element_count()));
  decode(file.at(name), values);
  return values;
}

}  // namespace

TEST_CASE("pieces may end anywhere and lie in order of the tensors' names", "[weights]") {
  const ScratchDirectory scratch;
  std::vector<float> values(17);
  std::iota(values.begin(), values.end(), -3.0F);
  for (const StorageType type : {StorageType::float32, StorageType::float16, StorageType::bfloat16}) {
    const std::string path = scratch.file("x.safetensors");
    SafetensorsWriter writer(path, type, kEntries, {{"format", "pt"}});
    REQUIRE(writer.tensors().front().name == "a");
    std::size_t done = 0;
    for (const std::size_t count : {1U, 0U, 7U, 9U}) {
      writer.append(std::span(values).subspan(done, count));
      done += count;
    }
    CHECK_FALSE(std::filesystem::exists(path));
    const std::string digest = writer.finish();
    CHECK(digest == sha256_of_file(path));
    const SafetensorsFile file(path);
    CHECK(file.at("b").type == type);
    CHECK(file.at("b").shape == std::vector<std::int64_t>{4, 3});
    CHECK(values_of(file, "a") == std::vector<float>(values.begin(), values.begin() + 5));
    CHECK(values_of(file, "b") == std::vector<float>(values.begin() + 5, values.end()));
    CHECK(file.at("none").bytes.empty());
    std::filesystem::remove(path);
  }
}

TEST_CASE("a file that is not finished leaves nothing", "[weights]") {
  const ScratchDirectory scratch;
  { SafetensorsWriter writer(scratch.file("x"), StorageType::float32, kEntries, {}); }
  CHECK(std::filesystem::is_empty(scratch.path()));
  CHECK_THROWS_AS(SafetensorsWriter(scratch.file("absent/x"), StorageType::float32, kEntries, {}), StorageError);
  {
    SafetensorsWriter writer(scratch.file("x"), StorageType::float16, kEntries, {});
    const std::vector<float> values{0, 0, 0, 0, 0, 0, 1e5F};
    CHECK_THAT(input_error_of([&] { writer.append(values); }), contains("the tensor 'b' holds 100000, which float16"));
  }
  CHECK(std::filesystem::is_empty(scratch.path()));
}
