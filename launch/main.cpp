// chorale COMMAND ...: parses the command line, runs one command, and turns what it throws into a message and an exit
// code. Nothing else in the program ends the process.
#include <fmt/format.h>
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <exception>
#include <iostream>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/errors.hpp"
#include "core/base/nearest.hpp"
#include "launch/commands/common.hpp"
#include "launch/commands/inspect.hpp"
#include "launch/commands/validate.hpp"
#include "launch/progress/status_line.hpp"
#if __has_include("launch/commands/train.hpp")
#include "launch/commands/train.hpp"
#endif
#if __has_include("launch/commands/calibrate.hpp")
#include "launch/commands/calibrate.hpp"
#endif
#if __has_include("launch/commands/score.hpp")
#include "launch/commands/score.hpp"
#endif

namespace chorale {
namespace {

void add_commands(CLI::App& app) {
#if __has_include("launch/commands/train.hpp")
  add_train_command(app);
#endif
#if __has_include("launch/commands/calibrate.hpp")
  add_calibrate_command(app);
#endif
#if __has_include("launch/commands/score.hpp")
  add_score_command(app);
#endif
  add_validate_command(app);
  add_inspect_command(app);
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) add_common_options(*command);
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

int fail(ExitCode code, std::string_view message) {
  // Several lines (all mistakes of a recipe) start on a line of their own, so that editors find FILE:LINE there.
  const char* gap = message.find('\n') == std::string_view::npos ? " " : "\n";
  standard_error_line().clear();
  standard_error_line().print(fmt::format("chorale: error:{}{}", gap, message));
  return static_cast<int>(code);
}

int fail_of_memory() {
  return fail(ExitCode::internal,
              "out of memory; lower training.micro_batch_size, evaluation.batch_size, data.max_tokens or "
              "ensemble.members, or set training.prefix_cache=off");
}

// torch reports its own failures, those of its allocators too, as std::exception with a long trace of its calls.
int fail_unexpected(std::string_view what) {
  if (what.find("can't allocate memory") != std::string_view::npos ||
      what.find("out of memory") != std::string_view::npos) {
    return fail_of_memory();
  }
  return fail(ExitCode::internal,
              fmt::format("{} (this is a bug in chorale; please report it with the command you ran)",
                          what.substr(0, what.find('\n'))));
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

int run(int argc, char** argv) {
  CLI::App app(
      "Trains an ensemble of LoRA adapters over one frozen language model and reports how far its predictions "
      "can be trusted.",
      "chorale");
  app.set_version_flag("--version", std::string("chorale " CHORALE_VERSION " (torch " CHORALE_TORCH_VERSION ")"));
  app.require_subcommand(1);
  app.footer("Example:\n  chorale train recipes/quickstart.yaml\n\n`chorale COMMAND --help` explains a command.\n");
  add_commands(app);
  try {
    check_command_name(app, argc, argv);
    app.parse(argc, argv);
    std::cout.flush();
    write_output("");  // notices what could not be written on the way
    return static_cast<int>(ExitCode::ok);
  } catch (const CLI::Success& request) {
    return app.exit(request);  // --help and --version
  } catch (const CLI::ParseError& error) {
    return fail(ExitCode::usage, parse_message(app, error, argc, argv));
  } catch (const OutputClosed&) {
    return static_cast<int>(ExitCode::ok);
  } catch (const Error& error) {
    return fail(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return fail_of_memory();
  } catch (const std::exception& error) {
    return fail_unexpected(error.what());
  } catch (...) {
    return fail_unexpected("an exception of an unknown kind");
  }
}

}  // namespace
}  // namespace chorale

int main(int argc, char** argv) {
  chorale::keep_freed_memory();
  // A closed pipe is noticed where results are written; it must not kill a run in the middle of training.
  std::signal(SIGPIPE, SIG_IGN);
  // Likewise a file that grows past its limit: the failing write has a message and an exit code of its own.
  std::signal(SIGXFSZ, SIG_IGN);
  return chorale::run(argc, argv);
}
