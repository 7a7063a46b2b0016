// Which lines of the log become which events. That TensorBoard reads them is test_tensorboard.py's.
#include "launch/training/event_log.hpp"

#include <filesystem>
#include <limits>

#include "support/catch.hpp"
#include "support/scratch_directory.hpp"

namespace chorale {
namespace {

// Everything behind the head of the only file of a directory.
std::string events_of(const std::string& directory, const std::string& ending = "0") {
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (!entry.path().string().ends_with(ending)) continue;
    const std::string content = test::content_of(entry.path());
    const std::size_t version = event_record(version_event(0)).size();
    const std::size_t restart = ending == "0" ? event_record(restart_event(0, 1)).size() : 0;
    return content.substr(version + restart);
  }
  return "no file";
}

std::string event(double wall_time, std::int64_t step, const std::vector<EventScalar>& scalars) {
  return event_record(scalars_event(wall_time, step, scalars));
}

TEST_CASE("lines go to their members, pooled values once to the ensemble") {
  const test::ScratchDirectory scratch;
  EventLog log(scratch.file("tensorboard"), 0, 2, 0);
  const nlohmann::json pooled = {{"nll", 0.4}, {"accuracy", 0.9}, {"ece", 0.05}};
  for (const int member : {0, 1}) {
    log.write({{"member", member}, {"step", 4}, {"loss", 0.5 + member}, {"learning_rate", 0.01}, {"seconds", 3.0}},
              10.0);
    log.write({{"member", member}, {"step", 4}, {"validation", {{"nll", nullptr}}}, {"pooled_validation", pooled}},
              11.0);
  }
  log.write({{"member", 0}, {"step", 8}, {"validation", {{"nll", 0.3}}}, {"pooled_validation", pooled}}, 12.0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(events_of(scratch.file("tensorboard/member_001")) ==
        event(10.0, 4, {{"train/loss", 1.5}, {"train/learning_rate", 0.01}}) +
            event(11.0, 4, {{"validation/nll", nan}}));
  const std::vector<EventScalar> values = {
      {"validation/nll", 0.4}, {"validation/accuracy", 0.9}, {"validation/ece", 0.05}};
  CHECK(events_of(scratch.file("tensorboard/ensemble")) == event(11.0, 4, values) + event(12.0, 8, values));
}

TEST_CASE("the result is in files of its own, which the next life removes") {
  const test::ScratchDirectory scratch;
  const std::string directory = scratch.file("tensorboard");
  const nlohmann::json datasets = {{"test",
                                    {{"members", {{"each", {{{"nll", 1.0}}, {{"nll", 2.0}}}}}},
                                     {"ensemble", {{"nll", 0.5}}},
                                     {"uncertainty", {{"total", 0.75}}}}},
                                   {"validation", {{"ensemble", {{"nll", 9.0}}}}},
                                   {"unlabelled", {{"uncertainty", {{"epistemic", 0.25}}}}}};
  EventLog(directory, 0, 2, 0).write_result(8, datasets);
  const std::string member = events_of(directory + "/member_001", ".result");
  CHECK(member.find("test/nll") != std::string::npos);
  const std::string ensemble = events_of(directory + "/ensemble", ".result");
  for (const char* tag : {"test/nll", "test/uncertainty/total", "unlabelled/uncertainty/epistemic"}) {
    CHECK(ensemble.find(tag) != std::string::npos);
  }
  CHECK(ensemble.find("validation") == std::string::npos);
  const EventLog next(directory, 0, 3, 8);
  CHECK(events_of(directory + "/member_001", ".result") == "no file");
  CHECK(std::filesystem::exists(directory + "/member_002"));
}

}  // namespace
}  // namespace chorale
