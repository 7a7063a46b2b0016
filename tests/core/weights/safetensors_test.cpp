#include "core/weights/safetensors.hpp"

#include <filesystem>
#include <random>

#include "core/base/errors.hpp"
#include "core/weights/safetensors_directory.hpp"
#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

std::string file_of(const std::string& header, std::size_t data_bytes) {
  return bytes_of<std::uint64_t>(header.size()) + header + std::string(data_bytes, '\0');
}

// One entry of the header.
std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":[)" + shape + R"(],"data_offsets":[)" + offsets + "]}";
}

const std::vector<float> six{1, 2, 3, 4, 5, 6};
const std::vector<float> one{7};

void write_two(const std::string& path) {
  write_safetensors(path, {{"b.weight", {2, 3}, six}, {"a", {}, one}, {"empty", {0, 4}, {}}}, {{"format", "pt"}});
}

void read_everything(const std::string& path) {
  const SafetensorsFile file(path);
  for (const TensorView& tensor : file.tensors()) {
    std::vector<float> values(static_cast<std::size_t>(tensor.element_count()));
    decode(tensor, values);
  }
}

}  // namespace

TEST_CASE("what is written to safetensors is read back", "[weights]") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("x.safetensors");
  write_two(path);
  const SafetensorsFile file(path);
  REQUIRE(file.tensors().size() == 3);
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}});
  CHECK(file.at("b.weight").shape == std::vector<std::int64_t>{2, 3});
  CHECK(file.at("a").shape.empty());
  CHECK(file.at("empty").bytes.empty());
  std::vector<float> values(6);
  decode(file.at("b.weight"), values);
  CHECK(values == six);
  CHECK(content_of(path).size() % 4 == 0);
  CHECK((8 + *reinterpret_cast<const std::uint8_t*>(content_of(path).data())) % 8 == 0);
  // Nothing unfinished stays behind.
  CHECK(std::distance(std::filesystem::directory_iterator(scratch.path()), {}) == 1);
}

TEST_CASE("an unwritable place is a storage error and leaves nothing", "[weights]") {
  const ScratchDirectory scratch;
  CHECK_THROWS_AS(write_two(scratch.file("absent/x.safetensors")), StorageError);
  CHECK(std::filesystem::is_empty(scratch.path()));
}

TEST_CASE("damaged safetensors files are refused with their name and the damage", "[weights]") {
  struct Case {
    std::string what;
    std::string content;
    std::string expected;
  };
  const auto f32 = [](const std::string& shape, const std::string& offsets) {
    return entry("x", "F32", shape, offsets);
  };
  const std::string deep = "{\"x\":" + std::string(100, '[') + std::string(100, ']') + "}";
  const std::vector<Case> cases{
      {"no length", "abc", "the header's length"},
      {"length 0", file_of("", 0), "does not begin with '{'"},
      {"length behind the file", bytes_of<std::uint64_t>(100) + "{}", "said to be 100 bytes"},
      {"length over the limit", bytes_of<std::uint64_t>(~0ULL) + "{}", "100000000 are allowed"},
      {"a list", file_of("[]", 0), "does not begin with '{'"},
      {"a space in front", file_of(" {}", 0), "does not begin with '{'"},
      {"broken JSON", file_of("{\"x\":", 0), "not valid JSON"},
      {"invalid UTF-8", file_of("{\"\xff\":1}", 0), "not valid JSON"},
      {"bottomless JSON", file_of(deep, 0), "nesting"},
      {"a name twice", file_of("{" + f32("1", "0,4") + "," + f32("1", "0,4") + "}", 4), "the key 'x'"},
      {"an entry that is a number", file_of("{\"x\":1}", 0), "not described by an object"},
      {"no dtype", file_of(R"({"x":{"shape":[1],"data_offsets":[0,4]}})", 4), "'dtype' is missing"},
      {"an unknown dtype", file_of("{" + entry("x", "F33", "1", "0,4") + "}", 4), "unknown dtype 'F33'"},
      {"no shape", file_of(R"({"x":{"dtype":"F32","data_offsets":[0,4]}})", 4), "'shape' is not a list"},
      {"a negative size", file_of("{" + f32("-1", "0,4") + "}", 4), "'shape' is not a list"},
      {"a fraction", file_of("{" + f32("1.0", "0,4") + "}", 4), "'shape' is not a list"},
      {"a size over 64 bits", file_of("{" + f32("99999999999999999999", "0,4") + "}", 4), "'shape' is not a list"},
      {"sizes that overflow", file_of("{" + f32("4294967296,4294967296", "0,4") + "}", 4), "does not take the 4 bytes"},
      {"bytes that overflow", file_of("{" + f32("4611686018427387905", "0,4") + "}", 4), "does not take the 4 bytes"},
      {"one offset", file_of("{" + f32("1", "0") + "}", 4), "not a pair"},
      {"offsets backwards", file_of("{" + f32("1", "4,0") + "}", 4), "not a pair"},
      {"too few bytes", file_of("{" + f32("2", "0,4") + "}", 4), "does not take the 4 bytes"},
      {"data behind the file", file_of("{" + f32("2", "0,8") + "}", 4), "take 8 bytes but the file holds 4"},
      {"data left over", file_of("{" + f32("1", "0,4") + "}", 8), "take 4 bytes but the file holds 8"},
      {"data without tensors", file_of("{}", 4), "take 0 bytes but the file holds 4"},
      {"a hole in front", file_of("{" + f32("1", "4,8") + "}", 8), "begins at byte 4"},
      {"a hole between", file_of("{" + f32("1", "0,4") + "," + entry("y", "F32", "1", "8,12") + "}", 12),
       "tensor 'y' begins at byte 8"},
      {"an overlap", file_of("{" + f32("2", "0,8") + "," + entry("y", "F32", "1", "4,8") + "}", 8),
       "tensor 'y' begins at byte 4"},
      {"metadata of numbers", file_of(R"({"__metadata__":{"a":1}})", 0), "not an object of strings"},
      {"metadata as a list", file_of(R"({"__metadata__":["a"]})", 0), "not an object of strings"},
  };
  const ScratchDirectory scratch;
  const std::string path = scratch.file("bad.safetensors");
  for (const Case& damaged : cases) {
    INFO(damaged.what);
    write_content(path, damaged.content);
    CHECK_THAT(input_error_of([&] { const SafetensorsFile file(path); }), contains(path) && contains(damaged.expected));
  }
}

TEST_CASE("a safetensors file cut at any length is refused", "[weights]") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("cut.safetensors");
  write_two(path);
  const std::string whole = content_of(path);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write_content(path, whole.substr(0, length));
    REQUIRE_THAT(input_error_of([&] { const SafetensorsFile file(path); }), contains(path));
  }
}

TEST_CASE("random damage to a safetensors file is refused or harmless", "[weights]") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("mutant.safetensors");
  write_two(path);
  const std::string whole = content_of(path);
  const std::string alphabet = "0123456789[]{}\",:-.eE \xff";
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same mutants every time
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string mutant = whole;
    for (std::size_t change = 0; change <= random() % 3; ++change) {
      mutant[random() % mutant.size()] = alphabet[random() % alphabet.size()];
    }
    write_content(path, mutant);
    try {
      read_everything(path);
    } catch (const InputError& error) {
      ++refused;
      REQUIRE_THAT(error.what(), contains(path));
    }
  }
  CHECK(refused > 1000);
}

TEST_CASE("tensors that cannot be decoded are listed apart", "[weights]") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("x.safetensors");
  write_content(path, file_of("{" + entry("mask", "BOOL", "3", "0,3") + "," + entry("w", "BF16", "1", "3,5") + "}", 5));
  const SafetensorsFile file(path);
  CHECK(file.undecodable() == std::map<std::string, std::string>{{"mask", "BOOL"}});
  CHECK(file.tensors().size() == 1);
  CHECK(file.find("mask") == nullptr);
}

TEST_CASE("shards are joined through their index", "[weights]") {
  const ScratchDirectory scratch;
  write_safetensors(scratch.file("model-1.safetensors"), {{"a", {6}, six}});
  write_safetensors(scratch.file("model-2.safetensors"), {{"b", {1}, one}, {"c", {1}, one}});
  const auto index = [&](const std::string& text) {
    write_content(scratch.file("model.safetensors.index.json"), text);
  };
  const auto message = [&] { return input_error_of([&] { const SafetensorsDirectory all(scratch.path().string()); }); };

  CHECK_THAT(message(), contains("holds neither model.safetensors nor"));
  write_content(scratch.file("pytorch_model.bin"), "x");
  CHECK_THAT(message(), contains("pickled"));

  // total_size is wrong and 'c' unmentioned: warnings, not errors.
  index(R"({"metadata":{"total_size":5},"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})");
  const SafetensorsDirectory directory(scratch.path().string());
  REQUIRE(directory.tensors().size() == 2);
  CHECK(directory.files().size() == 2);
  std::vector<float> values(6);
  decode(directory.at("a"), values);
  CHECK(values == six);

  const std::vector<std::pair<std::string, std::string>> refused{
      {R"({"weight_map":{"a":"model-3.safetensors"}})", "model-3.safetensors: is missing"},
      {R"({"weight_map":{"b":"model-1.safetensors"}})", "has no tensor 'b'"},
      {R"({"weight_map":{"a":"../model-1.safetensors"}})", "not a plain file name"},
      {R"({"weight_map":{"a":"/etc/passwd"}})", "not a plain file name"},
      {R"({"weight_map":{"a":"x\\y"}})", "not a plain file name"},
      {R"({"weight_map":{"a":"model\u0000"}})", "not a plain file name"},
      {R"({"weight_map":{"a":".."}})", "not a plain file name"},
      {R"({"weight_map":{"a":""}})", "not a plain file name"},
      {R"({"weight_map":{"a":1}})", "not a plain file name"},
      {R"({"weight_map":{}})", "'weight_map' is empty"},
      {R"({"weight_map":[]})", "has no object 'weight_map'"},
      {R"([])", "has no object 'weight_map'"},
      {R"({"weight_map":{"a":"x","a":"y"}})", "the key 'a'"},
      {R"({"weight_map")", "not valid JSON"},
  };
  for (const auto& [text, expected] : refused) {
    INFO(text);
    index(text);
    CHECK_THAT(message(), contains(scratch.path().string()) && contains(expected));
  }
}
