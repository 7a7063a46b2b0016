#include "core/model/torch_version.hpp"

#include <filesystem>

#include "support/catch.hpp"

using namespace chorale;

TEST_CASE("the loaded torch says its version and where it lies") {
  CHECK(loaded_torch_version().find('.') != std::string::npos);
  CHECK(std::filesystem::exists(loaded_torch_directory() + "/libtorch_cpu.so"));
}

TEST_CASE("only the version compiled against fits, whatever its local part") {
  CHECK(torch_mismatch("2.11.0+cu130", "2.11.0", "lib").empty());
  CHECK(torch_mismatch("2.11.0", "2.11.0+cpu", "lib").empty());
  for (const char* other : {"2.11.1", "2.12.0", "2.1.0", "unknown"}) {
    const std::string wrong = torch_mismatch("2.11.0+cpu", other, "lib");
    INFO(wrong);
    CHECK(wrong.find(std::string("lib: the torch libraries are version ") + other) == 0);
    CHECK(wrong.find("built against 2.11.0+cpu. Build it again") != std::string::npos);
  }
}
