#include "launch/recipe/sections.hpp"

namespace chorale::recipe {
namespace {

constexpr std::int64_t kMost = 1'000'000'000;
constexpr Names<std::string_view, 3> kBackends = {{{"auto", "auto"}, {"mpi", "mpi"}, {"nccl", "nccl"}}};

constexpr Names<OnFailure, 2> kOnFailure = {{{"stop", OnFailure::stop}, {"continue", OnFailure::go_on}}};

const Section kCheckpoint = {
    "checkpoint",
    {{"every_steps", "integer >= 1", "100",
      "optimiser steps between checkpoints; the end of training is saved in any case"},
     {"every_minutes", "number > 0, null", "null", "besides, a checkpoint whenever this time is over (rank 0's clock)"},
     {"keep", "integer >= 1", "2", "how many checkpoints are kept; older ones are removed"},
     {"on_failure", "stop, continue", "stop",
      "a periodic checkpoint that cannot be written ends the run, or is a warning and the next one is tried"}}};
const Section kOutput = {"output",
                         {{"directory", "text", "runs/ and the recipe's name",
                           "the run directory; one that holds files is refused without --resume"}}};
const Section kDistributed = {
    "distributed",
    {{"backend", "auto, mpi, nccl", "auto",
      "how ranks of a group talk to each other; nccl needs a GPU for each; auto: nccl where that is so"},
     {"groups", "auto, integer >= 1", "auto",
      "groups of ranks, each of which trains its share of the members; auto: as even a load as possible"},
     {"watchdog_seconds", "integer >= 1", "600", "a rank that waits longer than this for others ends the run"},
     {"deterministic", "true, false", "false",
      "the same bits whenever the same ranks start again, at some cost in speed: fixes algorithms of torch and NCCL"}}};

}  // namespace

std::vector<const Section*> running_tables() {
  return {&kCheckpoint, &kOutput, &kDistributed};
}

void read_running(Reader& recipe, Recipe& result) {
  if (auto reader = recipe.section("checkpoint", kCheckpoint)) {
    reader->integer("every_steps", result.checkpoint.every_steps, 1, kMost);
    if (reader->given("every_minutes")) {
      double minutes = 1.0;
      reader->number("every_minutes", minutes, kPositive);
      result.checkpoint.every_minutes = minutes;
    }
    reader->integer("keep", result.checkpoint.keep, 1, kMost);
    reader->choice("on_failure", result.checkpoint.on_failure, kOnFailure);
  }
  result.output_directory = "runs/" + result.name;
  if (auto reader = recipe.section("output", kOutput)) reader->line("directory", result.output_directory);
  if (auto reader = recipe.section("distributed", kDistributed)) {
    std::string_view backend = "auto";
    reader->choice("backend", backend, kBackends);
    result.distributed.backend = backend;
    reader->integer_or("auto", "groups", result.distributed.groups, 1, kMost);
    reader->integer("watchdog_seconds", result.distributed.watchdog_seconds, 1, kMost);
    reader->boolean("deterministic", result.distributed.deterministic);
  }
}

void write_running(Writer& writer, const Recipe& recipe) {
  writer.begin("checkpoint");
  writer.integer("every_steps", recipe.checkpoint.every_steps);
  if (recipe.checkpoint.every_minutes) {
    writer.number("every_minutes", *recipe.checkpoint.every_minutes);
  } else {
    writer.null("every_minutes");
  }
  writer.integer("keep", recipe.checkpoint.keep);
  writer.word("on_failure", recipe.checkpoint.on_failure == OnFailure::go_on ? "continue" : "stop");
  writer.end();
  writer.begin("output");
  writer.text("directory", recipe.output_directory);
  writer.end();
  writer.begin("distributed");
  writer.word("backend", recipe.distributed.backend);
  if (recipe.distributed.groups > 0) {
    writer.integer("groups", recipe.distributed.groups);
  } else {
    writer.word("groups", "auto");
  }
  writer.integer("watchdog_seconds", recipe.distributed.watchdog_seconds);
  writer.boolean("deterministic", recipe.distributed.deterministic);
  writer.end();
}

}  // namespace chorale::recipe
