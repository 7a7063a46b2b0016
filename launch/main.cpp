// chorale COMMAND ...: parses the command line, runs one command on the ranks that take part in it, and turns what it
// throws into a message and an exit code. Nothing else in the program ends the process, or the world.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/errors.hpp"
#include "core/base/nearest.hpp"
#include "core/base/printable.hpp"
#include "core/base/process_memory.hpp"
#include "core/model/torch_version.hpp"
#include "distributed/world.hpp"
#include "launch/build_id.hpp"
#include "launch/commands/calibrate.hpp"
#include "launch/commands/common.hpp"
#include "launch/commands/doctor.hpp"
#include "launch/commands/evaluate.hpp"
#include "launch/commands/export.hpp"
#include "launch/commands/help_format.hpp"
#include "launch/commands/inspect.hpp"
#include "launch/commands/merge.hpp"
#include "launch/commands/plan.hpp"
#include "launch/commands/predict.hpp"
#include "launch/commands/recipes.hpp"
#include "launch/commands/report.hpp"
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
  add_report_command(app);
  add_calibrate_command(app);
  add_score_command(app);
  add_recipes_command(app);
  add_validate_command(app);
  add_plan_command(app);
  add_inspect_command(app);
  add_doctor_command(app, world);
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    add_common_options(*command, world.is_root());
  }
}

// CLI11 would call a mistyped command an unexpected argument.
void check_command_name(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == argv[1]) return;
    names.push_back(command->get_name());
  }
  throw UsageError(fmt::format("there is no command '{}'.{} `chorale --help` lists all commands.", argv[1],
                               did_you_mean(argv[1], std::span<const std::string>(names))));
}

// The command that was called; of `chorale recipes copy` the inner one.
const CLI::App& called_command(const CLI::App& app) {
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  return *command;
}

bool has_commands(const CLI::App& command) {
  return !command.get_subcommands([](const CLI::App*) { return true; }).empty();
}

// The names `command` has for a word such as `word`: its options, or its own commands.
std::vector<std::string> known_names(const CLI::App& command, const std::string& word) {
  std::vector<std::string> known;
  if (!word.starts_with("--")) {
    for (const CLI::App* inner : command.get_subcommands([](const CLI::App*) { return true; })) {
      known.push_back(inner->get_name());
    }
    return known;
  }
  for (const CLI::App* at = &command; at != nullptr; at = at->get_parent()) {
    for (const CLI::Option* option : at->get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
  }
  return known;
}

// What CLI11 says about words it does not know, with the option or the inner command that was meant.
std::string parse_message(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  std::string message = error.what();
  const CLI::App& command = called_command(app);
  while (message.ends_with('.') || message.ends_with('\n')) message.pop_back();
  const bool lacks_inner =
      error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError) && has_commands(command);
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    const std::string word(argument.substr(0, argument.find('=')));
    const bool is_option = word.starts_with("--");
    const std::vector<std::string> known = known_names(command, word);
    if (std::find(known.begin(), known.end(), word) != known.end()) continue;
    if (!is_option && (!lacks_inner || word.starts_with('-') || word == command.get_name())) continue;
    if (!is_option) message = fmt::format("there is no command '{} {}'", command.get_name(), printable(word, 60));
    const std::string meant = did_you_mean(word, std::span<const std::string>(known));
    if (!meant.empty()) message += "." + meant;
    break;
  }
  std::string call = command.get_name();
  for (const CLI::App* at = command.get_parent(); at != nullptr; at = at->get_parent()) {
    call.insert(0, at->get_name() + " ");
  }
  const std::string_view end = message.ends_with('?') ? "" : ".";
  return fmt::format("{}{} `{} --help` shows how to call it.", message, end, call);
}

// Parses the command line and runs the command, which throws whatever goes wrong with it.
int run_command(int argc, char** argv, World& world) {
  CLI::App app(
      "Trains an ensemble of LoRA adapters over one frozen language model and reports how far its predictions "
      "can be trusted.",
      "chorale");
  app.formatter(std::make_shared<HelpFormat>());  // the commands added below take it over
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
  std::string mine =
      fmt::format("chorale {} (torch {}, build {})", CHORALE_VERSION, CHORALE_TORCH_VERSION, build_id().substr(0, 12));
  for (int i = 1; i < argc; ++i) mine += fmt::format(" {}", argv[i]);
  world.together([&] {
    if (const std::string first = world.broadcast(mine); mine != first) {
      throw UsageError(
          fmt::format("rank {} runs `{}`, rank 0 `{}`. Start the same chorale with the same arguments on all ranks.",
                      world.rank(), printable(mine, 300), printable(first, 300)));
    }
  });
}

// Another torch than the one compiled against may crash, or worse, compute something else. Doctor reports it itself.
void check_torch(int argc, char** argv) {
  if (argc >= 2 && std::string_view(argv[1]) == "doctor") return;
  const std::string wrong = torch_mismatch(CHORALE_TORCH_VERSION, loaded_torch_version(), loaded_torch_directory());
  if (!wrong.empty()) throw UsageError(wrong);
}

// srun starts a process a task even where MPI cannot tell them of each other: each would do the whole job, and in the
// same directory. 0, or the number of processes.
std::int64_t strangers_from_srun(int argc, char** argv) {
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
  if (tasks == nullptr || launched_by_mpi() || !is_shared(argc, argv) || std::string_view(argv[1]) == "doctor")
    return 0;
  const long number = std::strtol(tasks, nullptr, 10);
  return number > 1 ? number : 0;
}

// One process that knows of no others.
int run_alone(int argc, char** argv, World& world) {
  check_torch(argc, argv);
  const std::int64_t strangers = strangers_from_srun(argc, argv);
  if (strangers == 0) return run_command(argc, argv, world);
  const char* number = std::getenv("SLURM_PROCID");
  if (number != nullptr && std::string_view(number) != "0") return static_cast<int>(ExitCode::usage);
  throw UsageError(
      fmt::format("srun: it started {} processes that do not know of each other, and each would do the whole job. Use "
                  "srun --mpi=pmix, or mpirun.",
                  strangers));
}

int run(int argc, char** argv, World& world) {
  if (world.size() == 1) return exit_code_of(world, Ranks::all, [&] { return run_alone(argc, argv, world); });
  return exit_code_of(world, Ranks::all, [&] {
    world.together([&] { check_torch(argc, argv); });
    check_same_command(argc, argv, world);
    const auto command = [&] { return run_command(argc, argv, world); };
    if (is_shared(argc, argv)) return command();
    // As long as it takes: the others have nothing to do.
    world.set_patience(std::numeric_limits<double>::infinity());
    const int code = world.is_root() ? exit_code_of(world, Ranks::this_one, command) : 0;
    return std::stoi(world.broadcast(std::to_string(code)));
  });
}

}  // namespace
}  // namespace chorale

int main(int argc, char** argv) {
  chorale::prepare_process_memory();
  // A closed pipe is noticed where results are written; it must not kill a run in the middle of training.
  std::signal(SIGPIPE, SIG_IGN);
  // Likewise a file that grows past its limit: the failing write has a message and an exit code of its own.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    chorale::World world = chorale::World::start(chorale::print_watchdog);
    return chorale::run(argc, argv, world);
  } catch (...) {
    return chorale::fail_without_world(std::current_exception());
  }
}
