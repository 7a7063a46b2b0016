#include "core/interop/peft_write.hpp"

#include <filesystem>

#include "core/base/errors.hpp"
#include "core/base/sha256.hpp"
#include "core/interop/adapter_ensemble.hpp"
#include "core/interop/new_directory.hpp"
#include "support/catch.hpp"
#include "support/scratch_directory.hpp"
#include "support/tensors.hpp"
#include "support/tiny_base.hpp"

using namespace chorale;
using namespace chorale::test;

TEST_CASE("what is written for PEFT is read back bit for bit", "[interop]") {
  const ScratchDirectory scratch;
  AdapterConfig config;
  config.rank = 3;
  config.alpha = 5.5;
  config.scaling = AdapterScaling::rank_stabilised;
  config.targets = {"k_proj", "o_proj", "up_proj"};
  config.layers = {0, 2};
  BankOptions options;
  options.members = {1, 4};
  AdapterBank bank(tiny_config(), config, options);
  bank.parameters().copy_(random_tensor(bank.parameters().sizes(), 5, at::kFloat));
  std::vector<std::string> directories;
  for (std::int64_t m = 0; m < 2; ++m) {
    directories.push_back(scratch.file(std::to_string(m)));
    const auto files = write_peft_adapter(directories.back(), tiny_config(), bank, m, {"base", "title"});
    CHECK(files.size() == 2);
    for (const auto& [name, digest] : files) CHECK(sha256_of_file(directories.back() + "/" + name) == digest);
  }
  const AdapterBank read = load_adapter_ensemble(tiny_config(), directories, at::kCPU);
  CHECK(read.config().rank == 3);
  CHECK(read.config().alpha == 5.5);
  CHECK(read.config().scaling == AdapterScaling::rank_stabilised);
  CHECK(read.config().targets == config.targets);
  CHECK(read.config().layers == config.layers);
  CHECK(same_bits(read.parameters(), bank.parameters()));
  CHECK(std::distance(std::filesystem::directory_iterator(scratch.path()), {}) == 2);
}

TEST_CASE("the rank that vLLM has to be started with", "[interop]") {
  CHECK(vllm_rank_option(1) == 1);
  CHECK(vllm_rank_option(9) == 16);
  CHECK(vllm_rank_option(16) == 16);
  CHECK(vllm_rank_option(17) == 32);
  CHECK(vllm_rank_option(257) == 320);
  CHECK(vllm_rank_option(512) == 512);
  CHECK(vllm_rank_option(513) == 0);
}

TEST_CASE("a new directory appears whole, or not at all", "[interop]") {
  const ScratchDirectory scratch;
  write_content(scratch.file("leftover"), "");
  std::filesystem::create_directories(scratch.path() / "x.tmp" / "deep");
  {
    NewDirectory directory(scratch.file("x"));
    CHECK(std::filesystem::is_empty(scratch.path() / "x.tmp"));
    directory.write("a.txt", "one");
    CHECK_FALSE(std::filesystem::exists(scratch.path() / "x"));
  }
  CHECK_FALSE(std::filesystem::exists(scratch.path() / "x.tmp"));
  NewDirectory directory(scratch.file("x"));
  directory.write("a.txt", "one");
  directory.copy("b.txt", directory.file("a.txt"));
  CHECK_THROWS_AS(directory.copy("c.txt", scratch.file("absent")), InputError);
  directory.commit();
  CHECK(content_of(scratch.file("x/b.txt")) == "one");
  CHECK(directory.files() == std::map<std::string, std::string>{{"a.txt", sha256("one")}, {"b.txt", sha256("one")}});
  CHECK_FALSE(std::filesystem::exists(scratch.path() / "x.tmp"));
  // A directory with content in its way is not replaced.
  NewDirectory second(scratch.file("x"));
  second.write("z.txt", "two");
  CHECK_THROWS_AS(second.commit(), StorageError);
  CHECK(content_of(scratch.file("x/a.txt")) == "one");
}
