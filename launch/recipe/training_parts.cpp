#include <fmt/format.h>

#include "launch/recipe/sections.hpp"

namespace chorale::recipe {
namespace {

constexpr std::int64_t kMostPatience = 1'000'000;
constexpr Names<std::string_view, 1> kOptimisers = {{{"adamw", "adamw"}}};
constexpr Names<ScheduleKind, 3> kSchedules = {
    {{"constant", ScheduleKind::constant}, {"linear", ScheduleKind::linear}, {"cosine", ScheduleKind::cosine}}};
constexpr Names<std::string_view, 1> kRegularisers = {{{"kl_to_base", "kl_to_base"}}};
constexpr Names<KlDirection, 2> kDirections = {
    {{"member_to_base", KlDirection::member_to_base}, {"base_to_member", KlDirection::base_to_member}}};
constexpr Names<StoppingMetric, 3> kMetrics = {
    {{"nll", StoppingMetric::nll}, {"accuracy", StoppingMetric::accuracy}, {"ece", StoppingMetric::ece}}};

const Section kOptimiser = {"training.optimiser",
                            {{"kind", "adamw", "adamw", "AdamW, with moments of its own for each member"},
                             {"beta1", "number in [0, 1)", "0.9", "decay of the first moment"},
                             {"beta2", "number in [0, 1)", "0.999", "decay of the second moment"},
                             {"epsilon", "number > 0", "1e-08", "added to the root of the second moment"}}};
const Section kSchedule = {"training.schedule",
                           {{"kind", "constant, linear, cosine", "cosine",
                             "after the warm-up the rate stays (constant), or falls to zero at the last step"},
                            {"warmup_fraction", "number in [0, 1]", "0.06",
                             "share of all steps over which the rate rises; 0: it begins at its highest"}}};
const Section kDecay = {"training.weight_decay",
                        {{"A", "number >= 0", "0.0", "decay of the A factors, decoupled from the gradient; 0: none"},
                         {"B", "number >= 0", "0.0", "decay of the B factors, likewise"}}};
const Section kRegulariser = {
    "training.regularisers[]",
    {{"kind", "kl_to_base", "required", "KL divergence between a member and the base over the scored classes"},
     {"weight", "number >= 0", "required", "factor in front of it in every member's loss; 0: off"},
     {"direction", "member_to_base, base_to_member", "member_to_base", "KL(member || base), or KL(base || member)"}}};
const Section kStopping = {
    "training.early_stopping",
    {{"metric", "nll, accuracy, ece", "nll", "measured on the validation set, for each member alone"},
     {"patience", "integer >= 1", "2",
      "validations in a row without improvement before a member stops; its best adapters come back"}}};

}  // namespace

std::vector<const Section*> training_part_tables() {
  return {&kOptimiser, &kSchedule, &kDecay, &kRegulariser, &kStopping};
}

void read_optimiser(Reader& training, OptimiserConfig& optimiser) {
  auto reader = training.section("optimiser", kOptimiser);
  if (!reader) return;
  std::string_view kind = "adamw";
  reader->choice("kind", kind, kOptimisers);
  optimiser.kind = kind;
  reader->number("beta1", optimiser.beta1, kShareBelowOne);
  reader->number("beta2", optimiser.beta2, kShareBelowOne);
  reader->number("epsilon", optimiser.epsilon, kPositive);
}

void write_optimiser(Writer& writer, const OptimiserConfig& optimiser) {
  writer.begin("optimiser");
  writer.word("kind", optimiser.kind);
  writer.number("beta1", optimiser.beta1);
  writer.number("beta2", optimiser.beta2);
  writer.number("epsilon", optimiser.epsilon);
  writer.end();
}

void read_schedule(Reader& training, ScheduleConfig& schedule) {
  auto reader = training.section("schedule", kSchedule);
  if (!reader) return;
  reader->choice("kind", schedule.kind, kSchedules);
  reader->number("warmup_fraction", schedule.warmup_fraction, kShare);
}

void write_schedule(Writer& writer, const ScheduleConfig& schedule) {
  writer.begin("schedule");
  writer.word("kind", name_of(kSchedules, schedule.kind));
  writer.number("warmup_fraction", schedule.warmup_fraction);
  writer.end();
}

void read_weight_decay(Reader& training, WeightDecay& decay) {
  auto reader = training.section("weight_decay", kDecay);
  if (!reader) return;
  reader->number("A", decay.a, kNotNegative);
  reader->number("B", decay.b, kNotNegative);
}

void write_weight_decay(Writer& writer, const WeightDecay& decay) {
  writer.begin("weight_decay");
  writer.number("A", decay.a);
  writer.number("B", decay.b);
  writer.end();
}

void read_regularisers(Reader& training, std::optional<KlToBase>& kl_to_base) {
  const std::vector<Node>* items = training.list("regularisers");
  if (items == nullptr) return;
  for (std::size_t i = 0; i < items->size(); ++i) {
    Reader reader((*items)[i], kRegulariser, fmt::format("training.regularisers.{}", i), training.mistakes());
    std::string_view kind = "kl_to_base";
    KlToBase kl;
    reader.require("kind", "write kind: kl_to_base");
    reader.choice("kind", kind, kRegularisers);
    reader.require("weight", "say how much, e.g. weight: 0.1");
    reader.number("weight", kl.weight, kNotNegative);
    reader.choice("direction", kl.direction, kDirections);
    if (i > 0) reader.mistake("kind", "kl_to_base is listed twice; keep one");
    kl_to_base = kl;
  }
}

void write_regularisers(Writer& writer, const std::optional<KlToBase>& kl_to_base) {
  writer.begin_list("regularisers");
  if (kl_to_base) {
    writer.begin_item();
    writer.word("kind", "kl_to_base");
    writer.number("weight", kl_to_base->weight);
    writer.word("direction", name_of(kDirections, kl_to_base->direction));
    writer.end();
  }
  writer.end_list();
}

void read_early_stopping(Reader& training, bool has_validation, std::optional<EarlyStopping>& early_stopping) {
  if (!training.given("early_stopping")) return;
  auto reader = training.section("early_stopping", kStopping);
  EarlyStopping stopping;
  reader->choice("metric", stopping.metric, kMetrics);
  reader->integer("patience", stopping.patience, 1, kMostPatience);
  early_stopping = stopping;
  if (!has_validation) {
    training.mistake("early_stopping", "needs validation data; add data.validation, e.g. validation: {fraction: 0.1}");
  }
}

void write_early_stopping(Writer& writer, const std::optional<EarlyStopping>& early_stopping) {
  if (!early_stopping) {
    writer.null("early_stopping");
    return;
  }
  writer.begin("early_stopping");
  writer.word("metric", name_of(kMetrics, early_stopping->metric));
  writer.integer("patience", early_stopping->patience);
  writer.end();
}

}  // namespace chorale::recipe
