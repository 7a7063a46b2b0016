#include "core/tokenizer/pre_tokenizer.hpp"

namespace chorale {

void PreTokenizer::run(std::string_view text, const std::function<void(std::string_view)>& use) const {
  if (!text.empty()) {
    run_from(0, text, use);
  }
}

void PreTokenizer::run_from(std::size_t index, std::string_view piece,
                            const std::function<void(std::string_view)>& use) const {
  std::string prefixed;
  if (index == prefix_space_before && piece.front() != ' ') {
    prefixed.reserve(piece.size() + 1);
    prefixed.push_back(' ');
    prefixed += piece;
    piece = prefixed;
  }
  if (index == splitters.size()) {
    use(piece);
    return;
  }
  for (const std::string_view part : splitters[index].split(piece)) {
    run_from(index + 1, part, use);
  }
}

std::string PreTokenizer::describe() const {
  std::string names;
  for (const Splitter& splitter : splitters) {
    names += (names.empty() ? "" : " + ") + splitter.name;
  }
  return names.empty() ? "whole text" : names;
}

}  // namespace chorale
