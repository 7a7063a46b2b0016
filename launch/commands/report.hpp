// chorale report: what one or several runs gave, on the terminal and as a page.
#pragma once

#include <CLI/CLI.hpp>

namespace chorale {

void add_report_command(CLI::App& app);

}  // namespace chorale
