// "normalizer", "pre_tokenizer", "post_processor" and "decoder" of tokenizer.json.
#include <fmt/format.h>

#include <utility>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/tokenizer/known_patterns.hpp"
#include "core/tokenizer/pattern_syntax.hpp"
#include "core/tokenizer/tokenizer_json.hpp"

namespace chorale {

namespace {

/// Real files nest sequences once or twice; the limits keep a hostile file off the stack.
constexpr int deepest_sequence = 8;
constexpr std::size_t most_splitters = 64;

const std::string& type_of(const JsonNode& node) {
  return node.at("type").string();
}

[[noreturn]] void refuse(const JsonNode& node, std::string_view supported) {
  node.at("type").fail(fmt::format("'{}' is not read. Supported: {}.", printable(type_of(node)), supported));
}

/// Calls `use` on every element of a section's Sequence, or on the section itself.
template <typename Use>
void for_each_stage(const JsonNode& node, const std::string& elements, const Use& use, int depth = 0) {
  if (type_of(node) != "Sequence") {
    use(node);
    return;
  }
  if (depth == deepest_sequence) {
    node.fail(fmt::format("sequences are nested more than {} deep", deepest_sequence));
  }
  const JsonNode list = node.at(elements);
  const std::size_t count = list.array_size();
  for (std::size_t i = 0; i < count; ++i) {
    for_each_stage(list.element(i), elements, use, depth + 1);
  }
}

SplitBehaviour read_behaviour(const JsonNode& node) {
  const std::string& name = node.string();
  if (name == "Removed") return SplitBehaviour::removed;
  if (name == "Isolated") return SplitBehaviour::isolated;
  if (name == "MergedWithPrevious") return SplitBehaviour::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehaviour::merged_with_next;
  if (name == "Contiguous") return SplitBehaviour::contiguous;
  node.fail(
      fmt::format("'{}' is not read. Supported: Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous.",
                  printable(name)));
}

std::unique_ptr<const SpanFinder> compile(const JsonNode& node) {
  try {
    return find_pattern(Pattern(to_pcre2_syntax(node.string())));
  } catch (const InputError& error) {
    node.fail(error.what());
  }
}

Splitter read_split(const JsonNode& node) {
  Splitter splitter;
  const JsonNode pattern = node.at("pattern");
  if (const auto expression = pattern.find("Regex")) {
    splitter.finder = compile(*expression);
    const bool llama3 = expression->string() == llama3_pattern;
    const bool qwen2 = expression->string() == qwen2_pattern;
    splitter.name = llama3 ? "Llama 3 pattern" : qwen2 ? "Qwen 2 pattern" : "pattern";
  } else {
    const JsonNode literal = pattern.at("String");
    if (literal.string().empty()) {
      literal.fail("an empty string would be found everywhere");
    }
    splitter.finder = find_literal(literal.string());
    splitter.name = fmt::format("'{}'", printable(literal.string()));
  }
  splitter.behaviour = read_behaviour(node.at("behavior"));
  splitter.invert = node.boolean_or("invert", false);
  return splitter;
}

Splitter read_digits(const JsonNode& node) {
  const bool individual = node.boolean_or("individual_digits", false);
  return {find_digits(), individual ? SplitBehaviour::isolated : SplitBehaviour::contiguous, false,
          individual ? "single digits" : "runs of digits"};
}

std::vector<TokenId> read_template_ids(const JsonNode& processor, const JsonNode& piece) {
  const std::string& name = piece.at("id").string();
  const JsonNode ids = processor.at("special_tokens").at(name).at("ids");
  std::vector<TokenId> read;
  for (std::size_t i = 0; i < ids.array_size(); ++i) {
    read.push_back(ids.element(i).integer());
  }
  return read;
}

SequenceTemplate read_template(const JsonNode& processor) {
  const JsonNode single = processor.at("single");
  SequenceTemplate read;
  bool text_seen = false;
  for (std::size_t i = 0; i < single.array_size(); ++i) {
    const JsonNode piece = single.element(i);
    if (const auto special = piece.find("SpecialToken")) {
      std::vector<TokenId>& side = text_seen ? read.behind : read.before;
      const std::vector<TokenId> ids = read_template_ids(processor, *special);
      side.insert(side.end(), ids.begin(), ids.end());
    } else if (piece.at("Sequence").at("id").string() != "A" || text_seen) {
      piece.fail("a template for one text holds the sequence A once");
    } else {
      text_seen = true;
    }
  }
  if (!text_seen) {
    single.fail("the template leaves out the text itself (Sequence A)");
  }
  return read;
}

}  // namespace

Normalization read_normalizer(const JsonNode& root) {
  Normalization read = Normalization::none;
  if (const auto normalizer = root.find("normalizer")) {
    for_each_stage(*normalizer, "normalizers", [&](const JsonNode& stage) {
      if (type_of(stage) != "NFC") {
        refuse(stage, "NFC, a Sequence of it, or null");
      }
      read = Normalization::nfc;
    });
  }
  return read;
}

PreTokenizer read_pre_tokenizer(const JsonNode& root) {
  PreTokenizer read;
  bool byte_level = false;
  const JsonNode section = root.at("pre_tokenizer");
  const auto add = [&](const JsonNode& stage) {
    if (byte_level) {
      stage.fail("a step behind ByteLevel is not read. Supported: ByteLevel as the last step.");
    }
    if (read.splitters.size() == most_splitters) {
      stage.fail(fmt::format("more than {} steps", most_splitters));
    }
    const std::string& type = type_of(stage);
    if (type == "Split") {
      read.splitters.push_back(read_split(stage));
    } else if (type == "Digits") {
      read.splitters.push_back(read_digits(stage));
    } else if (type == "ByteLevel") {
      byte_level = true;
      if (stage.at("add_prefix_space").boolean()) {
        read.prefix_space_before = read.splitters.size();
      }
      if (stage.boolean_or("use_regex", true)) {
        read.splitters.push_back(
            {find_pattern(Pattern(to_pcre2_syntax(gpt2_pattern))), SplitBehaviour::isolated, false, "GPT-2 pattern"});
      }
    } else {
      refuse(stage, "Split, Digits and ByteLevel, or a Sequence of these that ends with ByteLevel");
    }
  };
  if (!section.value().is_null()) {
    for_each_stage(section, "pretokenizers", add);
  }
  if (!byte_level) {
    section.fail("has no ByteLevel step: this is no byte-level tokenizer. Supported: BPE over bytes.");
  }
  return read;
}

SequenceTemplate read_post_processor(const JsonNode& root) {
  SequenceTemplate read;
  if (const auto processor = root.find("post_processor")) {
    for_each_stage(*processor, "processors", [&](const JsonNode& stage) {
      if (type_of(stage) == "TemplateProcessing") {
        if (!read.empty()) {
          stage.fail("a second template is not read. Put all special tokens into one.");
        }
        read = read_template(stage);
      } else if (type_of(stage) != "ByteLevel") {  // ByteLevel trims offsets, which we do not keep
        refuse(stage, "ByteLevel, TemplateProcessing, a Sequence of these, or null");
      }
    });
  }
  return read;
}

void require_byte_level_decoder(const JsonNode& root) {
  if (const auto decoder = root.find("decoder")) {
    for_each_stage(*decoder, "decoders", [&](const JsonNode& stage) {
      if (type_of(stage) != "ByteLevel" && type_of(stage) != "Fuse") {
        refuse(stage, "ByteLevel, or null for the same");
      }
    });
  }
}

}  // namespace chorale
