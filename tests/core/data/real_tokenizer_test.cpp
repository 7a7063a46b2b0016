// Tasks on the real model's vocabulary and on real questions.
#include <filesystem>
#include <set>

#include "core/data/task.hpp"
#include "support/catch.hpp"

using namespace chorale;
using nlohmann::json;

namespace {

const std::string kModel = std::string(CHORALE_SOURCE_DIR) + "/.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf";
const std::string kQuestions = std::string(CHORALE_SHARED_DATA) + "/commonsenseqa/dev.jsonl";

// CommonsenseQA's released records brought into flat form: question, choices, answer (a letter).
RecordFile flat(const RecordFile& released) {
  RecordFile file{released.path, {}};
  for (const Record& record : released.records) {
    const json& question = record.fields["question"];
    json choices = json::array();
    for (const json& choice : question["choices"]) choices.push_back(choice["text"]);
    const json fields = {{"question", question["stem"]}, {"choices", choices}, {"answer", record.fields["answerKey"]}};
    file.records.push_back({record.id, fields, record.line});
  }
  return file;
}

}  // namespace

TEST_CASE("the real vocabulary: letters and the dictionary's categories are labels", "[data][model]") {
  if (!std::filesystem::exists(kModel)) {
    WARN("SKIPPED: " << kModel << " is not here");
    return;
  }
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(kModel);
  TaskConfig task;
  task.prompt = "Definition: {gloss}\nCategory:";
  task.answer = "category";
  task.labels = LabelStyle::options;
  task.fixed_choices = {"act",    "animal",     "artifact",  "attribute",  "body",     "cognition", "communication",
                        "event",  "feeling",    "food",      "group",      "location", "motive",    "object",
                        "person", "phenomenon", "plant",     "possession", "process",  "quantity",  "relation",
                        "shape",  "state",      "substance", "time"};
  const json gloss = {{"gloss", "a tangible and visible entity"}, {"category", "object"}};
  const ExampleSet set = encode_examples({"f", {{"1", gloss, 1}}}, task, *tokenizer, {});
  const Example& example = set.examples.at(0);
  // Ids measured with the `tokenizers` package on this vocabulary.
  CHECK(example.prompt == std::vector<TokenId>{18543, 42, 253, 15938, 284, 6178, 10404, 198, 27348, 42});
  CHECK(example.label == 13);
  CHECK(std::set<TokenId>(example.label_tokens.begin(), example.label_tokens.end()).size() == 25);
  for (std::size_t k = 0; k < 25; ++k) {  // each word is one token
    CHECK(tokenizer->decode({example.label_tokens[k]}, false) == " " + task.fixed_choices[k]);
  }

  task.prompt = "{gloss}\n{choices}\nAnswer:";
  task.labels = LabelStyle::letters;
  task.fixed_choices = {"one", "two", "three", "four", "object"};
  const Example letters = encode_examples({"f", {{"1", gloss, 1}}}, task, *tokenizer, {}).examples.at(0);
  for (std::size_t k = 0; k < 5; ++k) {
    CHECK(tokenizer->decode({letters.label_tokens[k]}, false) == " " + std::string(1, static_cast<char>('A' + k)));
  }
}

TEST_CASE("real questions become examples that decode to their text", "[data][model]") {
  if (!std::filesystem::exists(kModel) || !std::filesystem::exists(kQuestions)) {
    WARN("SKIPPED: needs " << kModel << " and " << kQuestions);
    return;
  }
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(kModel);
  const RecordFile file = flat(read_records(kQuestions));
  TaskConfig task;
  task.prompt = "Question: {question}\nAnswer:";
  task.choices_field = "choices";
  task.scoring = Scoring::option_likelihood;
  const ExampleSet set = encode_examples(file, task, *tokenizer, {});
  REQUIRE(set.examples.size() == 1221);
  CHECK(set.class_names == std::vector<std::string>{"A", "B", "C", "D", "E"});
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < set.examples.size(); ++i) {
    const Example& example = set.examples[i];
    const json& fields = file.records[i].fields;
    REQUIRE(tokenizer->decode(example.prompt, false) ==
            "Question: " + fields["question"].get<std::string>() + "\nAnswer:");
    REQUIRE(example.label == fields["answer"].get<std::string>()[0] - 'A');
    for (std::size_t k = 0; k < 5; ++k) {
      REQUIRE(tokenizer->decode(example.continuations[k], false) == " " + fields["choices"][k].get<std::string>());
    }
    tokens += example.token_count();
  }
  // About 29 tokens a question with all its options after one shared prompt.
  const double mean = static_cast<double>(tokens) / 1221.0;
  CHECK(mean > 24.0);
  CHECK(mean < 34.0);
}
