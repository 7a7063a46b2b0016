#include "core/weights/gguf.hpp"

#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using namespace chorale::test;

TEST_CASE("metadata of every type are read and converted only where nothing is lost", "[weights]") {
  const ScratchDirectory scratch;
  GgufBuilder builder;
  builder.raw_key("u8", 0, bytes_of<std::uint8_t>(200)).raw_key("i8", 1, bytes_of<std::int8_t>(-3));
  builder.raw_key("u16", 2, bytes_of<std::uint16_t>(60000)).raw_key("i16", 3, bytes_of<std::int16_t>(7));
  builder.number("u32", 4'000'000'000U).raw_key("i32", 5, bytes_of<std::int32_t>(-5)).real("f32", 0.5F);
  builder.raw_key("yes", 7, "\x01").text("text", "caf\xc3\xa9").raw_key("u64", 10, bytes_of<std::uint64_t>(~0ULL));
  builder.raw_key("i64", 11, bytes_of<std::int64_t>(-1)).raw_key("f64", 12, bytes_of(0.1));
  builder.raw_key("words", 9, bytes_of<std::uint32_t>(8) + bytes_of<std::uint64_t>(2) + gguf_text("a") + gguf_text(""));
  builder.raw_key(
      "kinds", 9,
      bytes_of<std::uint32_t>(5) + bytes_of<std::uint64_t>(2) + bytes_of<std::int32_t>(-1) + bytes_of<std::int32_t>(3));
  builder.raw_key("scores", 9, bytes_of<std::uint32_t>(6) + bytes_of<std::uint64_t>(1) + bytes_of(2.5F));
  builder.raw_key("none", 9, bytes_of<std::uint32_t>(4) + bytes_of<std::uint64_t>(0));
  write_content(scratch.file("m.gguf"), builder.build());

  const GgufFile file(scratch.file("m.gguf"));
  const Metadata& metadata = file.metadata();
  CHECK(metadata.get_unsigned("u8") == 200);
  CHECK(metadata.get_unsigned("u16") == 60000);
  CHECK(metadata.get_unsigned("i16") == 7);
  CHECK(metadata.get_unsigned("u32") == 4'000'000'000U);
  CHECK(metadata.get_unsigned("u64") == ~0ULL);
  CHECK(metadata.get_float("f32") == 0.5);
  CHECK(metadata.get_float("f64") == 0.1);
  CHECK(metadata.get_bool("yes"));
  CHECK(metadata.get_string("text") == "café");
  CHECK(metadata.get_strings("words") == std::vector<std::string_view>{"a", ""});
  CHECK(metadata.get_integers("kinds") == std::vector<std::int64_t>{-1, 3});
  CHECK(metadata.get_floats("scores") == std::vector<float>{2.5F});
  CHECK(metadata.get_integers("none").empty());
  CHECK(std::get<std::int64_t>(*metadata.find("i32")) == -5);
  CHECK(metadata.find("absent") == nullptr);
  CHECK_FALSE(metadata.find_string("absent").has_value());
  CHECK(file.tensors().empty());

  CHECK_THAT(input_error_of([&] { (void)metadata.get_string("txet"); }),
             contains("'txet' is missing") && contains("Did you mean 'text'?") && contains("m.gguf"));
  CHECK_THAT(input_error_of([&] { (void)metadata.get_unsigned("i64"); }), contains("'i64' holds a signed integer"));
  CHECK_THAT(input_error_of([&] { (void)metadata.get_string("u8"); }), contains("where a string is expected"));
  CHECK_THAT(input_error_of([&] { (void)metadata.get_integers("scores"); }), contains("an array of 1 float32"));
  CHECK_THAT(input_error_of([&] { (void)metadata.get_floats("words"); }), contains("an array of 2 strings"));
}

TEST_CASE("tensors have row-major shapes, their own bytes, and the order of their names", "[weights]") {
  const ScratchDirectory scratch;
  GgufBuilder builder;
  builder.version = 2;
  builder.alignment = 64;
  builder.number("general.alignment", 64);
  builder.floats("zebra", {3, 2}, {1, 2, 3, 4, 5, 6}).floats("ant", {2}, {7, 8}).floats("scalar", {}, {9});
  write_content(scratch.file("m.gguf"), builder.build());
  const GgufFile file(scratch.file("m.gguf"));
  REQUIRE(file.tensors().size() == 3);
  CHECK(file.tensors()[0].name == "ant");
  CHECK(file.version() == 2);
  const TensorView& zebra = file.at("zebra");
  CHECK(zebra.shape == std::vector<std::int64_t>{2, 3});
  std::vector<float> values(6);
  decode(zebra, values);
  CHECK(values == std::vector<float>{1, 2, 3, 4, 5, 6});
  std::vector<float> scalar(1);
  decode(file.at("scalar"), scalar);
  CHECK(scalar[0] == 9);
  CHECK(file.find("zebr") == nullptr);
  CHECK_THAT(input_error_of([&] { (void)file.at("zebr"); }), contains("Did you mean 'zebra'?"));
}
