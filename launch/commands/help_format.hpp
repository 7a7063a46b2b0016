// Help texts that fit a terminal.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace chorale {

/// CLI11's layout with every description broken between words at kTerminalColumns; it leaves that to the terminal.
/// Indented lines of a footer are commands to copy and stay as they are.
class HelpFormat : public CLI::Formatter {
 public:
  HelpFormat();
  [[nodiscard]] std::string make_footer(const CLI::App* app) const override;
  [[nodiscard]] std::string make_description(const CLI::App* app) const override;
  [[nodiscard]] std::string make_subcommand(const CLI::App* sub) const override;
  [[nodiscard]] std::string make_option_desc(const CLI::Option* option) const override;
};

}  // namespace chorale
