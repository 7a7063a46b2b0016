// Shows the data reader to Python tests: `data_probe records FILE [LIMIT]` prints {"id", "line", "fields"} a line,
// `data_probe describe FILE` the summary; errors go to standard error with their exit code. `data_probe each FILE...`
// prints {"code", "fields": [...]} or {"code", "error"} for each of many files, since starting costs more than reading.
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "core/base/errors.hpp"
#include "core/data/describe.hpp"
#include "core/data/records.hpp"

namespace {

nlohmann::json outcome(const std::string& path) {
  try {
    nlohmann::json fields = nlohmann::json::array();
    for (chorale::Record& record : chorale::read_records(path).records) fields.push_back(std::move(record.fields));
    return {{"code", 0}, {"fields", std::move(fields)}};
  } catch (const chorale::Error& error) {
    return {{"code", static_cast<int>(error.code())}, {"error", error.what()}};
  }
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() >= 2 && arguments[0] == "records") {
    const std::size_t limit = arguments.size() > 2 ? std::stoul(arguments[2]) : 0;
    for (const chorale::Record& record : chorale::read_records(arguments[1], limit).records) {
      const nlohmann::json line = {{"id", record.id}, {"line", record.line}, {"fields", record.fields}};
      std::cout << line.dump() << '\n';
    }
    return 0;
  }
  if (arguments.size() == 2 && arguments[0] == "describe") {
    std::cout << chorale::describe_data(arguments[1]).dump(2) << '\n';
    return 0;
  }
  if (arguments.size() >= 2 && arguments[0] == "each") {
    for (std::size_t i = 1; i < arguments.size(); ++i) std::cout << outcome(arguments[i]).dump() << '\n';
    return 0;
  }
  throw chorale::UsageError("data_probe records FILE [LIMIT] | describe FILE | each FILE...");
}

}  // namespace

int main(int count, char** values) {
  try {
    return run(std::vector<std::string>(values + 1, values + count));
  } catch (const chorale::Error& error) {
    std::cerr << error.what() << '\n';
    return static_cast<int>(error.code());
  }
}
