// Every objective that training minimises, on the tiny decoder's tasks.
#pragma once

#include <optional>
#include <vector>

#include "core/training/training_config.hpp"
#include "support/tiny_examples.hpp"

namespace chorale::test {

struct ObjectiveCase {
  const char* name;
  TinyTask task;
  std::optional<KlToBase> kl;
};

inline const std::vector<ObjectiveCase> kObjectives = {
    {"label_token", {TaskKind::multiple_choice, Scoring::label_token}, std::nullopt},
    {"option_likelihood", {TaskKind::multiple_choice, Scoring::option_likelihood}, std::nullopt},
    {"completion", {TaskKind::completion, Scoring::label_token}, std::nullopt},
    {"label_token, KL(member || base)",
     {TaskKind::multiple_choice, Scoring::label_token},
     KlToBase{0.7, KlDirection::member_to_base}},
    {"option_likelihood, KL(base || member)",
     {TaskKind::multiple_choice, Scoring::option_likelihood},
     KlToBase{0.7, KlDirection::base_to_member}},
    {"completion, KL(member || base)",
     {TaskKind::completion, Scoring::label_token},
     KlToBase{0.7, KlDirection::member_to_base}},
    {"completion, KL(base || member)",
     {TaskKind::completion, Scoring::label_token},
     KlToBase{0.7, KlDirection::base_to_member}},
};

}  // namespace chorale::test
