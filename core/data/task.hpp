// From records to token ids: prompts, options, labels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/data/records.hpp"
#include "core/tokenizer/tokenizer.hpp"

namespace chorale {

enum class TaskKind { multiple_choice, completion };
enum class Scoring { label_token, option_likelihood };
enum class LabelStyle { letters, options };
enum class TooLong { error, skip, truncate_left };

/// The recipe's `task` section after validation.
struct TaskConfig {
  TaskKind kind = TaskKind::multiple_choice;
  std::string prompt;         // template with {field}; {choices} renders "A. text" lines with letter labels
  std::string choices_field;  // a field holding a record's options; empty when the list is fixed
  std::vector<std::string> fixed_choices;  // the same options for every record
  std::string answer = "answer";           // a field holding an index, a letter or the option's text
  Scoring scoring = Scoring::label_token;
  LabelStyle labels = LabelStyle::letters;
};

/// One tokenised example. All ids are valid for the tokenizer it was made with.
struct Example {
  std::string id;
  std::vector<TokenId> prompt;                      // never empty
  std::vector<TokenId> label_tokens;                // label_token: K ids scored at the last prompt position
  std::vector<std::vector<TokenId>> continuations;  // option_likelihood: K options; completion: the one answer
  std::int32_t label = -1;                          // 0..K-1, or -1 when unlabelled (completion: always 0)
  std::vector<std::string> choices;                 // the K options as text (empty for completion)
  [[nodiscard]] std::size_t token_count() const;    // prompt plus all continuations
};

/// A data set ready to be batched.
struct ExampleSet {
  std::string name;  // train, validation, test or a shifted set's name
  std::string path;
  std::vector<Example> examples;         // in file order
  std::vector<std::string> class_names;  // fixed choices, or letters; empty for completion
  std::size_t skipped_too_long = 0;
  std::size_t truncated = 0;
};

struct EncodeOptions {
  std::string name;
  bool labelled = true;          // false: an answer that is missing or outside the choices becomes label -1
  std::size_t max_tokens = 512;  // of one sequence: prompt plus its longest continuation
  TooLong too_long = TooLong::error;
};

/// Turns records into examples, by these rules:
/// - The prompt is encoded with the tokenizer's own specials (BOS); everything behind it without, as " " + text.
/// - `{choices}` in a multiple-choice prompt shows the options one a line: "A. text" with labels: letters, else the
/// bare
///   text. In a completion it is a field like any other.
/// - How options and answers are read: core/data/choices.hpp. An answer that is at once the text of one option and the
///   letter or index of another counts as text; one warning tells how many there were.
/// - A completion's continuation is " " + answer, without an end token; its answer is needed even if not `labelled`.
/// - truncate_left drops the oldest tokens of the prompt except a leading BOS.
/// Throws UsageError with task_mistakes() of an impossible task, and InputError with file:line, field and remedy for: a
/// template field the record lacks, an answer that names no choice, fewer than two choices, an empty prompt or option,
/// a record that is too long, option labels whose first tokens are equal (naming the options).
[[nodiscard]] ExampleSet encode_examples(const RecordFile& file, const TaskConfig& task, const Tokenizer& tokenizer,
                                         const EncodeOptions& options);

/// Splits off `fraction` of the examples by a hash of the record (id and fields), so that adding or removing other
/// records never moves one from one side to the other. Keeps file order on both sides.
struct Split {
  RecordFile rest;
  RecordFile taken;
};
[[nodiscard]] Split split_by_hash(const RecordFile& file, double fraction);

}  // namespace chorale
