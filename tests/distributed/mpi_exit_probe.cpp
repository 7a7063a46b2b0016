// Ends the way its arguments say, through the code main ends commands with: HOW RANK CODE, where HOW is agreed, alone,
// unknown, memory, nested or quiet. `alone` and `unknown` fail on that rank while the others wait in a collective.
#include <fmt/format.h>

#include <cstdlib>
#include <new>
#include <string>

#include "launch/outcome.hpp"

using namespace chorale;

namespace {

void fail_on(const World& world, std::int64_t rank, const std::string& how, int code) {
  if (world.rank() != rank) return;
  if (how == "unknown") throw 5;
  if (how == "memory") throw std::bad_alloc();
  throw Error(static_cast<ExitCode>(code), fmt::format("failed as asked, rank {}", rank));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 99;
  const std::string how = argv[1];
  const std::int64_t rank = std::strtol(argv[2], nullptr, 10);
  const int code = static_cast<int>(std::strtol(argv[3], nullptr, 10));
  World world = World::start();
  return exit_code_of(world, Ranks::all, [&] {
    if (how == "agreed" || how == "memory") world.together([&] { fail_on(world, rank, how, code); });
    if (how == "nested") {
      world.together([&] { world.together([&] { fail_on(world, rank, how, code); }); });
    }
    if (how == "alone" || how == "unknown") fail_on(world, rank, how, code);
    static_cast<void>(world.broadcast("everybody is here"));
    return how == "quiet" ? code : 0;
  });
}
