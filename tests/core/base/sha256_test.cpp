#include "core/base/sha256.hpp"

#include "support/catch.hpp"
#include "support/input_error.hpp"
#include "support/scratch_directory.hpp"

using namespace chorale;
using namespace chorale::test;

// Digests of FIPS 180-4's examples.
constexpr std::string_view digest_of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr std::string_view digest_of_million_a = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST_CASE("SHA-256 gives the standard's example digests", "[base]") {
  CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc") == digest_of_abc);
  Sha256 hash;
  for (int i = 0; i < 1000; ++i) {
    hash.update(std::string(1000, 'a'));
  }
  CHECK(hash.finish() == digest_of_million_a);
}

TEST_CASE("SHA-256 of a file is that of its content", "[base]") {
  const ScratchDirectory scratch;
  write_content(scratch.file("a"), std::string(1'000'000, 'a'));
  CHECK(sha256_of_file(scratch.file("a")) == digest_of_million_a);
  // A content as long as the reading buffer must not be hashed twice or cut.
  write_content(scratch.file("b"), std::string(1 << 20, 'x'));
  CHECK(sha256_of_file(scratch.file("b")) == sha256(std::string(1 << 20, 'x')));
  CHECK_THAT(input_error_of([&] { (void)sha256_of_file(scratch.file("absent")); }),
             contains("absent: cannot be opened"));
}
