#include "distributed/gpu_identity.hpp"

#include "core/base/errors.hpp"
#include "support/catch.hpp"

using namespace chorale;

namespace {

const std::string kGpuA = "GPU-aaaaaaaa-0000-0000-0000-000000000000";
const std::string kGpuB = "GPU-bbbbbbbb-0000-0000-0000-000000000000";

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::string refusal(const std::vector<GpuIdentity>& table, std::int64_t group) {
  try {
    refuse_shared_gpus(table, group);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("what ranks say about their GPUs arrives as it was sent", "[gpu_identity]") {
  const std::vector<GpuIdentity> table = {
      {0, 0, "alpha", kGpuA, ""}, {1, 0, "a \"quoted\"\nhost", "", "id=1"}, {2, 2, "", kGpuB, "\x01\xc3\xa9"}};
  std::vector<std::vector<std::byte>> texts;
  for (const GpuIdentity& identity : table) texts.push_back(bytes_of(to_text(identity)));
  CHECK((gpu_table(texts) == table));
  CHECK(gpu_table({}).empty());
  // A host name that is no UTF-8 is changed, not fatal.
  CHECK(gpu_table({bytes_of(to_text({0, 0, "host\xff", "", ""}))})[0].host == "host\xef\xbf\xbd");
}

TEST_CASE("texts that no rank can have sent are refused with the rank", "[gpu_identity]") {
  const std::string fine = to_text({0, 0, "alpha", kGpuA, ""});
  const std::vector<std::string> bad = {
      "",
      "{",
      "[]",
      "null",
      R"({"rank": 1})",
      fine.substr(0, fine.size() - 1),
      to_text({0, 0, "alpha", kGpuA, ""}),   // two ranks call themselves 0
      to_text({2, 0, "alpha", kGpuA, ""}),   // a rank out of place
      to_text({1, 2, "alpha", kGpuA, ""}),   // a group that begins later
      to_text({1, -1, "alpha", kGpuA, ""}),  // or never
      R"({"rank": "1", "group": 0, "host": "a", "gpu": "", "nccl_host": ""})",
      R"({"rank": 1, "group": 0, "host": 5, "gpu": "", "nccl_host": ""})",
  };
  for (const std::string& text : bad) {
    std::string message;
    try {
      static_cast<void>(gpu_table({bytes_of(fine), bytes_of(text)}));
    } catch (const InternalError& error) {
      message = error.what();
    }
    INFO(text);
    CHECK(mentions(message, "rank 1"));
  }
}

TEST_CASE("two ranks of a group on one GPU are refused, with both, host, GPU and remedies", "[gpu_identity]") {
  const std::vector<GpuIdentity> table = {{0, 0, "alpha", kGpuA, ""},
                                          {1, 0, "alpha", kGpuB, ""},
                                          {2, 2, "beta", kGpuA, ""},  // group 2: 2, 3, 4
                                          {3, 2, "beta", kGpuB, ""},
                                          {4, 2, "beta", kGpuB, ""}};
  CHECK(refusal(table, 0) == "");
  const std::string message = refusal(table, 2);
  for (const std::string& part : {std::string("ranks 3 and 4 on beta"), kGpuB, std::string("one rank per GPU"),
                                  std::string("fewer ranks per node"), std::string("distributed.groups"),
                                  std::string("distributed.backend: mpi")}) {
    INFO(part);
    CHECK(mentions(message, part));
  }
}

TEST_CASE("what only looks like sharing within a group is let through", "[gpu_identity]") {
  // Different groups; the CPU; NCCL_HOSTID set apart, on both ranks or one.
  CHECK(refusal({{0, 0, "alpha", kGpuA, ""}, {1, 1, "alpha", kGpuA, ""}}, 0) == "");
  CHECK(refusal({{0, 0, "alpha", kGpuA, ""}, {1, 1, "alpha", kGpuA, ""}}, 1) == "");
  CHECK(refusal({{0, 0, "alpha", "", ""}, {1, 0, "alpha", "", ""}}, 0) == "");
  CHECK(refusal({{0, 0, "alpha", kGpuA, "x"}, {1, 0, "alpha", kGpuA, "y"}}, 0) == "");
  CHECK(refusal({{0, 0, "alpha", kGpuA, ""}, {1, 0, "alpha", kGpuA, "y"}}, 0) == "");
  CHECK(refusal({}, 0) == "");
  // The same id is no way out, and the third rank is found though the second passes.
  CHECK(mentions(refusal({{0, 0, "alpha", kGpuA, "x"}, {1, 0, "alpha", kGpuA, "x"}}, 0), "ranks 0 and 1"));
  CHECK(mentions(refusal({{0, 0, "alpha", kGpuA, "x"}, {1, 0, "alpha", kGpuA, "y"}, {2, 0, "alpha", kGpuA, "x"}}, 0),
                 "ranks 0 and 2"));
}

TEST_CASE("GPUs of several ranks are described, whatever the groups", "[gpu_identity]") {
  CHECK(describe_shared_gpus({}) == "");
  const std::vector<GpuIdentity> apart = {
      {0, 0, "alpha", kGpuA, ""}, {1, 0, "alpha", kGpuB, ""}, {2, 2, "b", "", ""}, {3, 2, "b", "", ""}};
  CHECK(describe_shared_gpus(apart) == "");
  const std::vector<GpuIdentity> shared = {{0, 0, "alpha", kGpuB, ""},
                                           {1, 1, "alpha", kGpuA, ""},
                                           {2, 2, "alpha", kGpuB, "x"},
                                           {3, 3, "alpha", kGpuA, ""},
                                           {4, 4, "alpha", kGpuB, ""}};
  const std::string text = describe_shared_gpus(shared);
  CHECK(mentions(text, kGpuA + " on alpha (ranks 1, 3)"));
  CHECK(mentions(text, kGpuB + " on alpha (ranks 0, 2, 4)"));
}
