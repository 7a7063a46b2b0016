#include "launch/commands/help_format.hpp"

#include <sstream>

#include "core/report/table.hpp"

namespace chorale {
namespace {

constexpr std::size_t kDescriptionColumn = 30;

// CLI11 indents the lines after the first by itself.
std::string in_its_column(const std::string& description) {
  std::string text = wrapped(description, kTerminalColumns - kDescriptionColumn, 0);
  text.pop_back();
  return text;
}

}  // namespace

HelpFormat::HelpFormat() {
  column_width(kDescriptionColumn);
}

std::string HelpFormat::make_description(const CLI::App* app) const {
  return wrapped(CLI::Formatter::make_description(app), kTerminalColumns, 0);
}

std::string HelpFormat::make_footer(const CLI::App* app) const {
  std::istringstream lines(CLI::Formatter::make_footer(app));
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    text += line.starts_with(' ') ? line + "\n" : wrapped(line, kTerminalColumns, 0);
  }
  return text;
}

std::string HelpFormat::make_subcommand(const CLI::App* sub) const {
  std::ostringstream text;
  CLI::detail::format_help(text, sub->get_display_name(true), in_its_column(sub->get_description()),
                           kDescriptionColumn);
  return text.str();
}

std::string HelpFormat::make_option_desc(const CLI::Option* option) const {
  return in_its_column(CLI::Formatter::make_option_desc(option));
}

}  // namespace chorale
