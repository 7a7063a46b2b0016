#include "core/base/nearest.hpp"

#include <vector>

#include "core/base/printable.hpp"
#include "support/catch.hpp"

using namespace chorale;

TEST_CASE("the nearest name is the one with the fewest slips", "[base]") {
  const std::vector<std::string> keys{"learning_rate", "batch_size", "weight_decay", "epochs", "rank"};
  CHECK(nearest("lerning_rate", keys) == "learning_rate");
  CHECK(nearest("batchsize", keys) == "batch_size");
  CHECK(nearest("Epochs", keys) == "epochs");
  CHECK(nearest("rnak", keys) == "rank");  // a swap of neighbours is one slip
  CHECK(nearest("epoch", {"epochs", "epoch_s"}) == "epochs");
  CHECK(nearest("aab", {"abc", "aac", "aad"}) == "aac");  // the first of equals
}

TEST_CASE("names too far from everything get no suggestion", "[base]") {
  const std::vector<std::string> keys{"learning_rate", "batch_size"};
  CHECK(nearest("dropout", keys).empty());
  CHECK(nearest("", keys).empty());
  CHECK(nearest("x", {"y"}).empty());
  CHECK(nearest(std::string(100'000, 'x'), keys).empty());
  CHECK(nearest("anything", {}).empty());
}

TEST_CASE("a suggestion is a sentence or nothing", "[base]") {
  const std::vector<std::string_view> keys{"alpha", "beta"};
  CHECK(did_you_mean("alhpa", std::span<const std::string_view>(keys)) == " Did you mean 'alpha'?");
  CHECK(did_you_mean("omicron", std::span<const std::string_view>(keys)).empty());
}

TEST_CASE("text from files is made safe to print", "[base]") {
  CHECK(printable("plain text") == "plain text");
  CHECK(printable("é 日本") == "é 日本");
  CHECK(printable("a\nb\tc\\d") == "a\\nb\\tc\\\\d");
  CHECK(printable("\x1b[31mred") == "\\x1b[31mred");
  CHECK(printable("\xff\xc3") == "\\xff\\xc3");
  CHECK(printable(std::string(100, 'x'), 10) == "xxxxxxxxxx...");
}
