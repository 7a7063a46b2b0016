#include "core/data/task.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/interruption.hpp"
#include "core/base/printable.hpp"
#include "core/data/choices.hpp"
#include "core/data/labels.hpp"
#include "core/data/prompt.hpp"
#include "core/data/task_check.hpp"

namespace chorale {
namespace {

class Encoder {
 public:
  Encoder(const RecordFile& file, const TaskConfig& task, const Tokenizer& tokenizer, const EncodeOptions& options)
      : file_(file),
        task_(task),
        tokenizer_(tokenizer),
        options_(options),
        prompt_(task.prompt),
        labels_(tokenizer, task.labels) {}

  ExampleSet run() {
    ExampleSet set{options_.name, file_.path, {}, {}, 0, 0};
    set.examples.reserve(file_.records.size());
    for (const Record& record : file_.records) {
      stop_if_asked("record");
      Example example = encode(record);
      if (fit(example, record, set)) set.examples.push_back(std::move(example));
    }
    if (set.examples.empty()) {
      throw InputError(
          fmt::format("{}: all {} records are longer than data.max_tokens ({}). Raise it, or set "
                      "data.too_long to truncate_left.",
                      file_.path, file_.records.size(), options_.max_tokens));
    }
    set.class_names = class_names(set.examples);
    if (ambiguous_ > 0) {
      spdlog::warn(
          "{}:{}: the answer is the text of one option and the letter or index of another; taken as text ({} "
          "records). Give such answers as JSON integers",
          file_.path, first_ambiguous_, ambiguous_);
    }
    return set;
  }

 private:
  [[nodiscard]] std::string where(const Record& record) const { return fmt::format("{}:{}", file_.path, record.line); }

  Example encode(const Record& record) {
    Example example;
    example.id = record.id;
    if (task_.kind == TaskKind::completion) {
      example.prompt = encode_prompt(record, nullptr);
      example.continuations.push_back(
          continuation(scalar_text(record, file_.path, task_.answer, "task.answer"), record));
      example.label = 0;
      return example;
    }
    example.choices =
        task_.choices_field.empty() ? task_.fixed_choices : record_choices(record, file_.path, task_.choices_field);
    const std::string choices = render_choices(example.choices, record);
    example.prompt = encode_prompt(record, &choices);
    example.label = label(record, example.choices);
    if (task_.scoring == Scoring::label_token) {
      example.label_tokens = labels_.of(example.choices, where(record));
    } else {
      for (const std::string& choice : example.choices) example.continuations.push_back(continuation(choice, record));
    }
    return example;
  }

  std::string render_choices(const std::vector<std::string>& choices, const Record& record) const {
    if (!prompt_.uses(kChoicesField)) return {};
    const bool letters = task_.labels == LabelStyle::letters;
    if (letters && choices.size() > kMaxLetters) {
      throw InputError(fmt::format("{}: {} options but only {} letters. Set task.labels to options.", where(record),
                                   choices.size(), kMaxLetters));
    }
    return choices_text(choices, letters);
  }

  std::vector<TokenId> encode_prompt(const Record& record, const std::string* choices) const {
    const std::string text = prompt_.render(record, file_.path, choices);
    std::vector<TokenId> ids = text.empty() ? std::vector<TokenId>() : tokenizer_.encode(text, true);
    if (ids.empty()) {
      throw InputError(fmt::format("{}: the prompt is empty for this record. Fill in its fields or remove the record.",
                                   where(record)));
    }
    return ids;
  }

  std::vector<TokenId> continuation(const std::string& text, const Record& record) const {
    std::vector<TokenId> ids = text.empty() ? std::vector<TokenId>() : tokenizer_.encode(" " + text, false);
    if (ids.empty()) {
      throw InputError(fmt::format("{}: the {} '{}' has no tokens. Fill it in or remove the record.", where(record),
                                   task_.kind == TaskKind::completion ? "answer" : "option", printable(text)));
    }
    return ids;
  }

  std::int32_t label(const Record& record, const std::vector<std::string>& choices) {
    const std::optional<Answer> answer = find_answer(record, file_.path, task_.answer, choices);
    if (!answer) {
      if (options_.labelled) no_such_answer(record, file_.path, task_.answer, choices);
      return -1;
    }
    if (answer->ambiguous && ambiguous_++ == 0) first_ambiguous_ = record.line;
    return answer->index;
  }

  // Applies max_tokens; false when the example is to be left out.
  bool fit(Example& example, const Record& record, ExampleSet& set) const {
    std::size_t longest = 0;
    for (const auto& continuation : example.continuations) longest = std::max(longest, continuation.size());
    const std::size_t length = example.prompt.size() + longest;
    if (length <= options_.max_tokens) return true;
    if (options_.too_long == TooLong::skip) {
      ++set.skipped_too_long;
      return false;
    }
    if (options_.too_long == TooLong::error) {
      throw InputError(
          fmt::format("{}: {} tokens are more than data.max_tokens ({}). Raise it, or set data.too_long to "
                      "skip or truncate_left.",
                      where(record), length, options_.max_tokens));
    }
    truncate_left(example.prompt, longest, record);
    ++set.truncated;
    return true;
  }

  // Drops the oldest tokens of the prompt, all but BOS, so that `longest` more fit behind it.
  void truncate_left(std::vector<TokenId>& prompt, std::size_t longest, const Record& record) const {
    const std::optional<TokenId> bos = tokenizer_.bos();
    const std::size_t kept_in_front = bos && prompt.front() == *bos ? 1 : 0;
    if (longest + kept_in_front >= options_.max_tokens) {
      throw InputError(
          fmt::format("{}: the longest answer has {} tokens, which leaves no room for the prompt in "
                      "data.max_tokens ({}). Raise it.",
                      where(record), longest, options_.max_tokens));
    }
    const std::size_t excess = prompt.size() + longest - options_.max_tokens;
    const auto first = prompt.begin() + static_cast<std::ptrdiff_t>(kept_in_front);
    prompt.erase(first, first + static_cast<std::ptrdiff_t>(excess));
  }

  std::vector<std::string> class_names(const std::vector<Example>& examples) const {
    if (task_.kind == TaskKind::completion || !task_.fixed_choices.empty()) return task_.fixed_choices;
    std::size_t largest = 0;
    for (const Example& example : examples) largest = std::max(largest, example.choices.size());
    std::vector<std::string> names;
    for (std::size_t k = 0; k < largest; ++k) names.push_back(k < kMaxLetters ? letter_of(k) : std::to_string(k));
    return names;
  }

  const RecordFile& file_;
  const TaskConfig& task_;
  const Tokenizer& tokenizer_;
  const EncodeOptions& options_;
  Prompt prompt_;
  LabelTokens labels_;
  std::size_t ambiguous_ = 0;
  std::size_t first_ambiguous_ = 0;
};

}  // namespace

std::size_t Example::token_count() const {
  std::size_t count = prompt.size();
  for (const auto& continuation : continuations) count += continuation.size();
  return count;
}

ExampleSet encode_examples(const RecordFile& file, const TaskConfig& task, const Tokenizer& tokenizer,
                           const EncodeOptions& options) {
  const std::vector<std::string> mistakes = task_mistakes(task);
  if (!mistakes.empty()) throw UsageError(fmt::format("{}", fmt::join(mistakes, "\n")));
  CHORALE_ASSERT(!file.records.empty(), "a data set has at least one record");
  return Encoder(file, task, tokenizer, options).run();
}

}  // namespace chorale
