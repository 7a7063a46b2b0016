#include "core/data/task_check.hpp"

#include <functional>

#include "support/catch.hpp"

using namespace chorale;

namespace {

TaskConfig sound() {
  TaskConfig task;
  task.prompt = "{question}\n{choices}\nAnswer:";
  task.choices_field = "choices";
  return task;
}

}  // namespace

TEST_CASE("sound tasks pass", "[data]") {
  CHECK(task_mistakes(sound()).empty());
  TaskConfig task = sound();
  task.prompt = "{gloss}";
  task.choices_field.clear();
  task.fixed_choices = {"a", "b"};
  task.labels = LabelStyle::options;
  CHECK(task_mistakes(task).empty());
  task = sound();
  task.prompt = "{question}";
  task.scoring = Scoring::option_likelihood;
  CHECK(task_mistakes(task).empty());
  task = {};
  task.kind = TaskKind::completion;
  task.prompt = "{choices}";
  CHECK(task_mistakes(task).empty());
}

TEST_CASE("each rule across keys is told with its key", "[data]") {
  struct Case {
    std::function<void(TaskConfig&)> spoil;
    std::string key;
    std::string expected;
  };
  const std::vector<Case> cases = {
      {[](TaskConfig& task) { task.prompt = ""; }, "task.prompt", "is empty"},
      {[](TaskConfig& task) { task.prompt = "{question {choices}"; }, "task.prompt", "never closed"},
      {[](TaskConfig& task) { task.prompt = "{question}"; }, "task.labels", "put {choices} into task.prompt"},
      {[](TaskConfig& task) { task.prompt += " {answer}"; }, "task.prompt", "gives the answer away"},
      {[](TaskConfig& task) { task.choices_field.clear(); }, "task.choices", "name the field"},
      {[](TaskConfig& task) {
         task.fixed_choices = {"a", "b"};
       },
       "task.choices", "name the field"},
      {[](TaskConfig& task) { task.answer.clear(); }, "task.answer", "name the field"},
      {[](TaskConfig& task) { task.answer = "choices"; }, "task.answer", "one of its own"},
      {[](TaskConfig& task) { task.choices_field.clear(), task.fixed_choices = {"a"}; }, "task.choices",
       "at least two"},
      {[](TaskConfig& task) {
         task.choices_field.clear(), task.fixed_choices = {"a", "b", "a"};
       },
       "task.choices", "'a' stands there twice"},
      {[](TaskConfig& task) {
         task.choices_field.clear(), task.fixed_choices = {"a", " "};
       },
       "task.choices", "no text"},
      {[](TaskConfig& task) {
         task.choices_field.clear();
         for (int i = 0; i < 27; ++i) task.fixed_choices.push_back(std::to_string(i));
       },
       "task.labels", "27 options but only 26 letters"},
      {[](TaskConfig& task) { task.kind = TaskKind::completion; }, "task.choices", "a completion has none"},
  };
  for (const Case& bad : cases) {
    TaskConfig task = sound();
    bad.spoil(task);
    const std::vector<std::string> mistakes = task_mistakes(task);
    INFO(bad.key << " " << bad.expected);
    REQUIRE(mistakes.size() == 1);
    INFO(mistakes[0]);
    CHECK(mistakes[0].rfind(bad.key + ": ", 0) == 0);
    CHECK(mistakes[0].find(bad.expected) != std::string::npos);
  }
}

TEST_CASE("several mistakes are told together", "[data]") {
  TaskConfig task;
  task.prompt = "{";
  task.answer = "";
  CHECK(task_mistakes(task).size() == 3);
}
