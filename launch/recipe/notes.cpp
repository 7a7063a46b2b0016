#include "launch/recipe/notes.hpp"

namespace chorale {

std::vector<std::string> recipe_notes(const Recipe& recipe) {
  std::vector<std::string> notes;
  const bool has_validation = recipe.data.validation.has_value() || recipe.data.validation_fraction > 0;
  if (recipe.evaluation.temperature && !has_validation) {
    notes.emplace_back(
        "evaluation.temperature is on but there is no data.validation to fit temperatures on: the temperature-scaled "
        "rows are left out");
  }
  if (!recipe.data.shifted.empty() && !recipe.data.test) {
    notes.emplace_back("data.shifted is given without data.test: detection compares with the test set and is left out");
  }
  const bool same_rates = recipe.training.learning_rate.size() == 1;
  const EnsembleConfig& ensemble = recipe.ensemble;
  if (ensemble.members > 1 && !ensemble.vary_initialisation && !ensemble.vary_data_order && same_rates &&
      recipe.adapter.dropout == 0.0) {
    notes.emplace_back("ensemble.vary is empty, so all members are equal: one member would do");
  }
  return notes;
}

}  // namespace chorale
