#include "core/data/task.hpp"

#include <chrono>

#include "core/data/message_of.hpp"
#include "core/data/word_tokenizer.hpp"
#include "support/catch.hpp"

using namespace chorale;
using nlohmann::json;
using test::WordTokenizer;

namespace {

RecordFile file_of(const std::vector<json>& objects) {
  RecordFile file{"f.jsonl", {}};
  for (const json& fields : objects) {
    const std::size_t line = file.records.size() + 1;
    file.records.push_back({"id" + std::to_string(line), fields, line});
  }
  return file;
}

TaskConfig letters_task() {
  TaskConfig task;
  task.prompt = "{q}\n{choices}\nAnswer:";
  task.choices_field = "options";
  return task;
}

TaskConfig options_task() {
  TaskConfig task;
  task.prompt = "{q} Is";
  task.fixed_choices = {"red wine", "green tea", "blue"};
  task.labels = LabelStyle::options;
  return task;
}

TaskConfig likelihood_task() {
  TaskConfig task = letters_task();
  task.prompt = "{q}";
  task.scoring = Scoring::option_likelihood;
  return task;
}

TaskConfig completion_task() {
  TaskConfig task;
  task.kind = TaskKind::completion;
  task.prompt = "{q}";
  return task;
}

std::vector<TokenId> ids(const WordTokenizer& tokenizer, const std::string& text) {
  return tokenizer.encode(text, false);
}

json question(const std::string& q, const json& options, const json& answer) {
  return {{"q", q}, {"options", options}, {"answer", answer}};
}

}  // namespace

TEST_CASE("letters: shown as lines, scored as the tokens of ' A', ' B', ...", "[data]") {
  const WordTokenizer words;
  const RecordFile file = file_of({question("Why?", {"x y", "z"}, "B"), question("How?", {"a", "b", "c"}, 0)});
  const ExampleSet set = encode_examples(file, letters_task(), words, {.name = "train"});
  CHECK(set.name == "train");
  CHECK(set.path == "f.jsonl");
  CHECK(set.class_names == std::vector<std::string>{"A", "B", "C"});
  REQUIRE(set.examples.size() == 2);
  const Example& first = set.examples[0];
  CHECK(first.id == "id1");
  CHECK(first.prompt == ids(words, "Why?\nA. x y\nB. z\nAnswer:"));
  CHECK(first.label_tokens == std::vector<TokenId>{ids(words, " A")[0], ids(words, " B")[0]});
  CHECK(first.continuations.empty());
  CHECK(first.label == 1);
  CHECK(first.choices == std::vector<std::string>{"x y", "z"});
  CHECK(first.token_count() == first.prompt.size());
  CHECK(set.examples[1].label_tokens.size() == 3);
  CHECK(set.examples[1].label == 0);
}

TEST_CASE("option labels: first token of ' ' + option, a fixed list names the classes", "[data]") {
  const WordTokenizer words;
  const RecordFile file = file_of({{{"q", "Drink?"}, {"answer", "green tea"}}});
  const ExampleSet set = encode_examples(file, options_task(), words, {.name = "test"});
  CHECK(set.class_names == options_task().fixed_choices);
  CHECK(set.examples[0].prompt == ids(words, "Drink? Is"));
  CHECK(set.examples[0].label_tokens ==
        std::vector<TokenId>{ids(words, " red")[0], ids(words, " green")[0], ids(words, " blue")[0]});
  CHECK(set.examples[0].label == 1);
}

TEST_CASE("option likelihood: continuations are encoded on their own", "[data]") {
  const WordTokenizer words(true);
  const RecordFile file = file_of({question("Go to", {"the sea", "bed"}, "A")});
  const ExampleSet set = encode_examples(file, likelihood_task(), words, {.name = "train"});
  const Example& example = set.examples[0];
  CHECK(example.prompt == std::vector<TokenId>{WordTokenizer::kBos, ids(words, "Go")[0], ids(words, " to")[0]});
  CHECK(example.continuations == std::vector<std::vector<TokenId>>{ids(words, " the sea"), ids(words, " bed")});
  CHECK(example.label_tokens.empty());
  CHECK(example.label == 0);
  CHECK(example.token_count() == 6);
  CHECK(set.class_names == std::vector<std::string>{"A", "B"});
}

TEST_CASE("options without letters are shown bare", "[data]") {
  const WordTokenizer words;
  TaskConfig task = likelihood_task();
  task.prompt = "{q}\n{choices}\n";
  task.labels = LabelStyle::options;
  const RecordFile file = file_of({question("Q", {"x", "y"}, 0)});
  CHECK(encode_examples(file, task, words, {}).examples[0].prompt == ids(words, "Q\nx\ny\n"));
}

TEST_CASE("completion: one continuation, label 0", "[data]") {
  const WordTokenizer words;
  const RecordFile file = file_of({{{"q", "Two and two make"}, {"answer", 4}}});
  const ExampleSet set = encode_examples(file, completion_task(), words, {});
  CHECK(set.examples[0].continuations == std::vector<std::vector<TokenId>>{ids(words, " 4")});
  CHECK(set.examples[0].label == 0);
  CHECK(set.examples[0].choices.empty());
  CHECK(set.class_names.empty());
}

TEST_CASE("unlabelled sets take what has no valid answer as -1", "[data]") {
  const WordTokenizer words;
  const std::vector<json> objects = {question("a", {"x", "y"}, "B"),
                                     question("b", {"x", "y"}, "nothing"),
                                     question("c", {"x", "y"}, 7),
                                     question("d", {"x", "y"}, nullptr),
                                     {{"q", "e"}, {"options", {"x", "y"}}}};
  const ExampleSet set =
      encode_examples(file_of(objects), letters_task(), words, {.name = "shifted", .labelled = false});
  std::vector<std::int32_t> labels;
  for (const Example& example : set.examples) labels.push_back(example.label);
  CHECK(labels == std::vector<std::int32_t>{1, -1, -1, -1, -1});
  for (std::size_t i = 1; i < objects.size(); ++i) {
    CHECK_THROWS_AS(encode_examples(file_of({objects[i]}), letters_task(), words, {}), InputError);
  }
}

TEST_CASE("too long: error, skip, truncate from the left", "[data]") {
  const bool with_bos = GENERATE(false, true);
  const WordTokenizer words(with_bos);
  const RecordFile file = file_of({question("1 2 3 4 5 6", {"x y", "z"}, 0), question("1 2", {"x", "z"}, 0)});
  const std::size_t extra = with_bos ? 1 : 0;
  EncodeOptions options{.name = "train", .max_tokens = 8 + extra, .too_long = TooLong::error};
  CHECK(encode_examples(file, likelihood_task(), words, options).examples.size() == 2);  // exactly fits
  options.max_tokens = 5 + extra;
  const std::string message = test::message_of([&] { (void)encode_examples(file, likelihood_task(), words, options); });
  INFO(message);
  CHECK(test::missing_part(message,
                           {"f.jsonl:1", std::to_string(8 + extra) + " tokens", "data.max_tokens", "data.too_long"})
            .empty());
  options.too_long = TooLong::skip;
  const ExampleSet skipped = encode_examples(file, likelihood_task(), words, options);
  CHECK(skipped.skipped_too_long == 1);
  REQUIRE(skipped.examples.size() == 1);
  CHECK(skipped.examples[0].id == "id2");
  options.too_long = TooLong::truncate_left;
  const ExampleSet cut = encode_examples(file, likelihood_task(), words, options);
  CHECK(cut.truncated == 1);
  CHECK(cut.skipped_too_long == 0);
  std::vector<TokenId> expected = ids(words, " 4 5 6");
  if (with_bos) expected.insert(expected.begin(), WordTokenizer::kBos);
  CHECK(cut.examples[0].prompt == expected);
  CHECK(cut.examples[0].continuations[0].size() == 2);
  options.max_tokens = 3 + extra;  // room for one token of the prompt
  CHECK(encode_examples(file, likelihood_task(), words, options).examples[0].prompt.size() == 1 + extra);
  options.max_tokens = 2 + extra;  // none
  const std::string no_room = test::message_of([&] { (void)encode_examples(file, likelihood_task(), words, options); });
  CHECK(test::missing_part(no_room, {"f.jsonl:1", "2 tokens", "no room for the prompt"}).empty());
  options.too_long = TooLong::skip;
  const std::string none_left =
      test::message_of([&] { (void)encode_examples(file, likelihood_task(), words, options); });
  CHECK(test::missing_part(none_left, {"f.jsonl", "all 2 records", "data.max_tokens"}).empty());
}

TEST_CASE("data that does not fit its task names file, line and remedy", "[data]") {
  struct Case {
    json fields;
    TaskConfig task;
    std::vector<std::string> expected;
  };
  json many = json::array();
  for (int i = 0; i < 27; ++i) many.push_back("w" + std::to_string(i));
  TaskConfig by_options = letters_task();
  by_options.labels = LabelStyle::options;
  TaskConfig bare = likelihood_task();
  const std::vector<Case> cases = {
      {{{"options", {"a", "b"}}, {"answer", 0}}, letters_task(), {"f.jsonl:1", "task.prompt", "'q'", "lacks"}},
      {{{"q", "x"}, {"answer", 0}}, letters_task(), {"f.jsonl:1", "task.choices", "'options'"}},
      {{{"q", "x"}, {"options", {"a", "b"}}}, letters_task(), {"f.jsonl:1", "task.answer", "'answer'", "lacks"}},
      {question("x", {"a", "b"}, "c"), letters_task(), {"f.jsonl:1", "'c'", "none of the 2 options"}},
      {question("x", {"a", "b"}, 2), letters_task(), {"f.jsonl:1", "'2'", "0 to 1"}},
      {question("x", {"a", "b"}, ""), letters_task(), {"f.jsonl:1", "''", "none of the 2"}},
      {question("x", {"a"}, 0), letters_task(), {"f.jsonl:1", "1 option", "at least two"}},
      {question("x", many, 0), letters_task(), {"f.jsonl:1", "27 options but only 26 letters", "task.labels"}},
      {question("x", {"New York", "New Delhi", "Rome"}, 0),
       by_options,
       {"f.jsonl:1", "'New York' and 'New Delhi'", "same token", "' New'", "option_likelihood"}},
      {question("", {"a", "b"}, 0), bare, {"f.jsonl:1", "the prompt is empty"}},
      {{{"q", "x"}, {"answer", ""}}, completion_task(), {"f.jsonl:1", "the answer '' has no tokens"}},
      {{{"q", "x"}}, completion_task(), {"f.jsonl:1", "task.answer", "lacks"}},
      {{{"q", "x"}, {"answer", {1, 2}}}, completion_task(), {"f.jsonl:1", "'answer'", "type array"}},
  };
  const WordTokenizer words;
  for (const Case& bad : cases) {
    const std::string message =
        test::message_of([&] { (void)encode_examples(file_of({bad.fields}), bad.task, words, {}); });
    INFO(bad.fields.dump() << "\n" << message);
    CHECK(test::missing_part(message, bad.expected).empty());
  }
}

TEST_CASE("a letter of several tokens cannot be a label", "[data]") {
  // Gives every byte a token of its own.
  class Bytes final : public Tokenizer {
   public:
    std::vector<TokenId> encode(std::string_view text, bool) const override { return {text.begin(), text.end()}; }
    std::string decode(const std::vector<TokenId>&, bool) const override { return {}; }
    std::string token(TokenId id) const override { return std::string(1, static_cast<char>(id)); }
    std::optional<TokenId> special_id(std::string_view) const override { return std::nullopt; }
    std::int64_t vocabulary() const override { return 256; }
    std::optional<TokenId> bos() const override { return std::nullopt; }
    std::optional<TokenId> eos() const override { return std::nullopt; }
    std::uint64_t dropped_bytes() const override { return 0; }
    std::string describe() const override { return "bytes"; }
  };
  const RecordFile file = file_of({question("x", {"a", "b"}, 0)});
  const std::string letters = test::message_of([&] { (void)encode_examples(file, letters_task(), Bytes(), {}); });
  CHECK(test::missing_part(letters, {"f.jsonl:1", "' A' is 2 tokens", "option_likelihood"}).empty());
  TaskConfig task = letters_task();
  task.labels = LabelStyle::options;  // every option begins with the blank's token
  const std::string options = test::message_of([&] { (void)encode_examples(file, task, Bytes(), {}); });
  CHECK(test::missing_part(options, {"f.jsonl:1", "'a' and 'b'", "same token (32 ' ')"}).empty());
}

TEST_CASE("an impossible task is a usage error with all its mistakes", "[data]") {
  TaskConfig task;
  task.prompt = "{";
  const std::string message = test::message_of<UsageError>([&] {
    (void)encode_examples(file_of({{{"q", 1}}}), task, WordTokenizer(), {});
  });
  CHECK(test::missing_part(message, {"task.prompt: ", "\n", "task.choices: "}).empty());
}

TEST_CASE("ten thousand records are encoded in about a second", "[data]") {
  std::vector<json> objects;
  const std::string text = "What do people aim to do at work, and why would they want to do it there of all places?";
  for (int i = 0; i < 10000; ++i) {
    objects.push_back(
        question(text + std::to_string(i), {"complete job", "learn from each other", "wear hats"}, i % 3));
  }
  const RecordFile file = file_of(objects);
  const auto start = std::chrono::steady_clock::now();
  const ExampleSet set = encode_examples(file, letters_task(), WordTokenizer(), {});
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  CHECK(set.examples.size() == 10000);
  CHECK(seconds.count() < 10.0);  // far above the expected time: only a wrong order of growth shall fail here
}
