// chorale COMMAND ...: parses the command line, runs one command on the ranks that take part in it, and turns what it
// throws into a message and an exit code. Nothing else in the program ends the process, or the world.
#include <fmt/format.h>
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <csignal>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/errors.hpp"
#include "core/base/nearest.hpp"
#include "core/base/printable.hpp"
#include "distributed/world.hpp"
#include "launch/commands/calibrate.hpp"
#include "launch/commands/common.hpp"
#include "launch/commands/doctor.hpp"
#include "launch/commands/evaluate.hpp"
#include "launch/commands/export.hpp"
#include "launch/commands/inspect.hpp"
#include "launch/commands/merge.hpp"
#include "launch/commands/plan.hpp"
#include "launch/commands/predict.hpp"
#include "launch/commands/score.hpp"
#include "launch/commands/train.hpp"
#include "launch/commands/validate.hpp"
#include "launch/outcome.hpp"

namespace chorale {
namespace {

// The commands whose work all ranks share. Of any other only rank 0 does something.
constexpr std::array<std::string_view, 5> kSharedCommands = {"train", "evaluate", "predict", "merge", "doctor"};

bool is_shared(int argc, char** argv) {
  return argc >= 2 && std::find(kSharedCommands.begin(), kSharedCommands.end(), argv[1]) != kSharedCommands.end();
}

void add_commands(CLI::App& app, World& world) {
  add_train_command(app, world);
  add_evaluate_command(app, world);
  add_predict_command(app, world);
  add_merge_command(app, world);
  add_export_command(app);
  add_calibrate_command(app);
  add_score_command(app);
  add_validate_command(app);
  add_plan_command(app);
  add_inspect_command(app);
  add_doctor_command(app, world);
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    add_common_options(*command, world.is_root());
  }
}

// The allocator gives freed blocks above a threshold straight back to the kernel, and the next step's activations then
// fault in every page again, which costs more than some of the arithmetic. Keep them.
void keep_freed_memory() {
  constexpr int kOneGiB = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kOneGiB);
  mallopt(M_TRIM_THRESHOLD, kOneGiB);
}

// CLI11 would call a mistyped command an unexpected argument.
void check_command_name(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == argv[1]) return;
    names.push_back(command->get_name());
  }
  throw UsageError(fmt::format("there is no command '{}'.{} `chorale --help` lists all.", argv[1],
                               did_you_mean(argv[1], std::span<const std::string>(names))));
}

// What CLI11 says about options it does not know, with the option that was meant.
std::string parse_message(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  std::string message = error.what();
  const auto chosen = app.get_subcommands();
  const CLI::App& command = chosen.empty() ? app : *chosen.front();
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  for (int i = 1; i < argc; ++i) {
    const std::string_view word(argv[i]);
    const std::string name(word.substr(0, word.find('=')));
    if (!name.starts_with("--") || std::find(known.begin(), known.end(), name) != known.end()) continue;
    message += "." + did_you_mean(name, std::span<const std::string>(known));
    break;
  }
  const std::string help = chosen.empty() ? std::string("chorale --help") : "chorale " + command.get_name() + " --help";
  while (message.ends_with('.') || message.ends_with('\n')) message.pop_back();
  return fmt::format("{}; `{}` shows how to call it", message, help);
}

// Parses the command line and runs the command, which throws whatever goes wrong with it.
int run_command(int argc, char** argv, World& world) {
  CLI::App app(
      "Trains an ensemble of LoRA adapters over one frozen language model and reports how far its predictions "
      "can be trusted.",
      "chorale");
  app.set_version_flag("--version", std::string("chorale " CHORALE_VERSION " (torch " CHORALE_TORCH_VERSION ")"));
  app.require_subcommand(1);
  app.footer("Example:\n  chorale train recipes/quickstart.yaml\n\n`chorale COMMAND --help` explains a command.\n");
  add_commands(app, world);
  try {
    check_command_name(app, argc, argv);
    app.parse(argc, argv);
    std::cout.flush();
    write_output("");  // notices what could not be written on the way
    return static_cast<int>(ExitCode::ok);
  } catch (const CLI::Success& request) {
    return world.is_root() ? app.exit(request) : static_cast<int>(ExitCode::ok);  // --help and --version
  } catch (const CLI::ParseError& error) {
    // Every rank has the same command line, and so the same mistake.
    return world.is_root() ? fail(world, ExitCode::usage, parse_message(app, error, argc, argv))
                           : static_cast<int>(ExitCode::usage);
  }
}

// Ranks of different programs or commands would wait for each other in different places, for ever.
void check_same_command(int argc, char** argv, World& world) {
  std::string mine = CHORALE_VERSION " (torch " CHORALE_TORCH_VERSION ")";
  for (int i = 1; i < argc; ++i) mine += fmt::format(" {}", argv[i]);
  world.together([&] {
    if (const std::string first = world.broadcast(mine); mine != first) {
      throw UsageError(
          fmt::format("rank {} runs `{}`, rank 0 `{}`. Start the same chorale with the same arguments on all ranks.",
                      world.rank(), printable(mine, 300), printable(first, 300)));
    }
  });
}

int run(int argc, char** argv, World& world) {
  const auto command = [&] { return run_command(argc, argv, world); };
  if (world.size() == 1) return exit_code_of(world, Ranks::all, command);
  return exit_code_of(world, Ranks::all, [&] {
    check_same_command(argc, argv, world);
    if (is_shared(argc, argv)) return command();
    const int code = world.is_root() ? exit_code_of(world, Ranks::this_one, command) : 0;
    return std::stoi(world.broadcast(std::to_string(code)));
  });
}

}  // namespace
}  // namespace chorale

int main(int argc, char** argv) {
  chorale::keep_freed_memory();
  // A closed pipe is noticed where results are written; it must not kill a run in the middle of training.
  std::signal(SIGPIPE, SIG_IGN);
  // Likewise a file that grows past its limit: the failing write has a message and an exit code of its own.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    chorale::World world = chorale::World::start();
    return chorale::run(argc, argv, world);
  } catch (...) {
    return chorale::fail_without_world(std::current_exception());
  }
}
