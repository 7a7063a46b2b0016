// Damaged and hostile GGUF files: each is refused by an InputError that names the file, and none crashes or allocates
// what the file only claims.
#include <functional>
#include <random>

#include "core/weights/base_files.hpp"
#include "core/weights/decode.hpp"
#include "core/weights/gguf.hpp"
#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

constexpr std::uint64_t huge = ~0ULL;

struct Case {
  std::string what;
  std::function<void(GgufBuilder&)> damage;
  std::string expected;
};

std::string array_header(std::uint32_t type, std::uint64_t count) {
  return bytes_of(type) + bytes_of(count);
}

std::vector<Case> damaged_files() {
  const auto key = [](std::uint32_t type, const std::string& value) {
    return [=](GgufBuilder& b) { b.raw_key("bad", type, value); };
  };
  const auto tensor = [](const std::vector<std::uint64_t>& dimensions, std::uint32_t type, std::uint64_t offset) {
    return [=](GgufBuilder& b) { b.raw_tensor("bad", dimensions, type, offset); };
  };
  return {
      {"another magic", [](GgufBuilder& b) { b.magic = "GGML"; }, "not a GGUF file"},
      {"version 0", [](GgufBuilder& b) { b.version = 0; }, "GGUF version 0"},
      {"version 1", [](GgufBuilder& b) { b.version = 1; }, "GGUF version 1"},
      {"version 4", [](GgufBuilder& b) { b.version = 4; }, "GGUF version 4; versions 2 to 3"},
      {"big-endian", [](GgufBuilder& b) { b.version = 0x03000000; }, "big-endian"},
      {"more tensors than bytes", [](GgufBuilder& b) { b.tensors = huge; }, "the number of tensors"},
      {"more keys than bytes", [](GgufBuilder& b) { b.keys = huge / 2; }, "the number of metadata keys"},
      {"one key too many", [](GgufBuilder& b) { ++b.keys; }, "bad.gguf"},
      {"one tensor too many", [](GgufBuilder& b) { ++b.tensors; }, "bad.gguf"},
      {"an endless key", [](GgufBuilder& b) { b.metadata += bytes_of(huge), ++b.keys; }, "a metadata key"},
      {"an empty key", [](GgufBuilder& b) { b.number("", 1); }, "0 bytes long"},
      {"a key twice", [](GgufBuilder& b) { b.number("a\nb", 1).number("a\nb", 1); }, "'a\\nb' occurs twice"},
      {"an unknown value type", key(13, ""), "unknown value type 13"},
      {"a boolean of 2", key(7, "\x02"), "boolean is 0 or 1"},
      {"an endless string", key(8, bytes_of(huge) + "x"), "ends too early"},
      {"a long array of numbers", key(9, array_header(4, huge / 4)), "length of the array 'bad'"},
      {"a long array of strings", key(9, array_header(8, huge / 8)), "length of the array 'bad'"},
      {"an array of 2^40 bytes", key(9, array_header(0, 1ULL << 40U)), "length of the array 'bad'"},
      {"an array of arrays", key(9, array_header(9, 1) + array_header(4, 0)), "array of arrays"},
      {"an array of unknowns", key(9, array_header(77, 1)), "unknown value type 77"},
      {"alignment 0", [](GgufBuilder& b) { b.number("general.alignment", 0); }, "general.alignment is 0"},
      {"alignment 24", [](GgufBuilder& b) { b.number("general.alignment", 24); }, "not a power of two"},
      {"alignment 2^31", [](GgufBuilder& b) { b.number("general.alignment", 1U << 31U); }, "not a power of two"},
      {"alignment as text", [](GgufBuilder& b) { b.text("general.alignment", "32"); }, "holds a string"},
      {"a part of a split model", [](GgufBuilder& b) { b.number("split.count", 3); }, "one of 3 parts"},
      {"five dimensions", tensor({1, 1, 1, 1, 1}, 0, 0), "has 5 dimensions"},
      {"sizes that overflow", tensor({1ULL << 32U, 1ULL << 32U}, 0, 0), "impossible shape"},
      {"bytes that overflow", tensor({1ULL << 31U, 1ULL << 31U}, 0, 0), "impossible shape"},
      {"a size above int64 beside a zero", tensor({huge, 0}, 0, 0), "impossible shape"},
      {"rows of broken blocks", tensor({33, 2}, 3, 0), "whole blocks"},
      {"a type without a decoder", tensor({256}, 12, 0), "stored as Q4_K, which is not supported"},
      {"an unknown type", tensor({256}, 99, 0), "stored as number 99"},
      {"a misaligned offset", tensor({1}, 0, 4), "not a multiple of the alignment"},
      {"an offset behind the file", tensor({1}, 0, 1ULL << 20U), "needs 4 bytes at offset"},
      {"an offset that wraps around", tensor({64}, 0, huge - 31), "bytes at offset"},
      {"an end behind the file", tensor({4096}, 0, 0), "needs 16384 bytes"},
      {"two tensors in one place", tensor({8}, 0, 0), "overlaps tensor"},
      {"a tensor twice", [](GgufBuilder& b) { b.floats("output_norm.weight", {8}, counted({8})); }, "two tensors"},
  };
}

void read_everything(const std::string& path) {
  const auto base = open_base(path);
  const GgufFile file(path);
  for (const TensorView& tensor : file.tensors()) {
    std::vector<float> values(static_cast<std::size_t>(tensor.element_count()));
    decode(tensor, values);
  }
  (void)base->fingerprint();
}

}  // namespace

TEST_CASE("damaged GGUF files are refused with their name and the damage", "[weights]") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("bad.gguf");
  write_content(path, tiny_llama());
  REQUIRE_NOTHROW(read_everything(path));
  for (const Case& damaged : damaged_files()) {
    INFO(damaged.what);
    GgufBuilder builder = tiny_llama_keys();
    add_tiny_llama_tensors(builder);
    damaged.damage(builder);
    write_content(path, builder.build());
    CHECK_THAT(input_error_of([&] { const GgufFile file(path); }), contains(path) && contains(damaged.expected));
  }
}

TEST_CASE("a GGUF file cut at any length is refused", "[weights]") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("cut.gguf");
  const std::string whole = tiny_llama();
  // Every length in the header and table; the tensors' data only here and there.
  for (std::size_t length = 0; length < whole.size(); length += length < 1500 ? 1 : 97) {
    INFO(length);
    write_content(path, whole.substr(0, length));
    REQUIRE_THAT(input_error_of([&] { const GgufFile file(path); }), contains(path));
  }
}

TEST_CASE("random damage to a GGUF file is refused or harmless", "[weights]") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("mutant.gguf");
  const std::string whole = tiny_llama();
  std::mt19937 random(20240607);  // NOLINT(cert-msc51-cpp): the same mutants every time
  const auto below = [&](std::size_t limit) { return random() % limit; };
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string mutant = whole;
    for (std::size_t change = 0; change <= below(4); ++change) {
      const std::size_t at = below(1500);
      // Plain noise seldom hits a length; all-ones and small steps do.
      const std::size_t kind = below(4);
      mutant[at] = kind == 0   ? static_cast<char>(random())
                   : kind == 1 ? static_cast<char>(mutant[at] + 1)
                   : kind == 2 ? '\xff'
                               : static_cast<char>(mutant[at] ^ (1 << below(8)));
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
