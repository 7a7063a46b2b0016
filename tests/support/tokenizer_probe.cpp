// Encodes or decodes JSON lines for the Python tests: one process for thousands of strings.
//   tokenizer_probe PATH < lines > lines
// A line is {"text": ..., "special": bool} -> ids, {"ids": [...], "skip": bool} -> text, or {"facts": true} -> an
// object.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "core/base/errors.hpp"
#include "core/tokenizer/tokenizer.hpp"

namespace {

nlohmann::json optional_id(const std::optional<chorale::TokenId>& id) {
  return id ? nlohmann::json(*id) : nlohmann::json(nullptr);
}

nlohmann::json answer(const chorale::Tokenizer& tokenizer, const nlohmann::json& line) {
  if (line.contains("text")) {
    return tokenizer.encode(line.at("text").get<std::string>(), line.value("special", false));
  }
  if (line.contains("ids")) {
    return tokenizer.decode(line.at("ids").get<std::vector<chorale::TokenId>>(), line.value("skip", false));
  }
  return {{"vocabulary", tokenizer.vocabulary()},        {"bos", optional_id(tokenizer.bos())},
          {"eos", optional_id(tokenizer.eos())},         {"dropped", tokenizer.dropped_bytes()},
          {"warning", dropped_bytes_warning(tokenizer)}, {"describe", tokenizer.describe()}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: tokenizer_probe PATH < lines\n";
    return 2;
  }
  try {
    const auto tokenizer = chorale::load_tokenizer(argv[1]);
    for (std::string line; std::getline(std::cin, line);) {
      std::cout << answer(*tokenizer, nlohmann::json::parse(line)).dump() << '\n';
    }
  } catch (const chorale::Error& error) {
    std::cerr << error.what() << '\n';
    return static_cast<int>(error.code());
  }
  return 0;
}
