// A run directory as those see it who use a run without writing into it: predict, evaluate, export, report.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "core/storage/checkpoint_directory.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale {

inline constexpr std::int64_t kMetricsVersion = 1;
/// A file beside metrics.json that tells which runs a merged run was made of, and that it cannot be trained on.
inline constexpr const char* kMergedName = "merged.json";

/// Reads recipe.yaml and metrics.json when it is made; everything else when asked. Takes no lock and changes nothing,
/// so that a run that is still being written can be looked at.
class RunReader {
 public:
  /// UsageError when `directory` is no run directory; InputError when its recipe.yaml or metrics.json cannot be read or
  /// is of a newer version.
  explicit RunReader(std::string directory);

  [[nodiscard]] const std::string& directory() const { return directory_; }
  /// RUN/name.
  [[nodiscard]] std::string file(std::string_view name) const { return directory_ + "/" + std::string(name); }
  /// The resolved recipe; its output directory is the one that was given here, wherever the run was made.
  [[nodiscard]] const Recipe& recipe() const { return recipe_; }
  /// recipe.yaml as it stands.
  [[nodiscard]] const std::string& recipe_text() const { return recipe_text_; }
  /// metrics.json; nothing while the run is not finished.
  [[nodiscard]] const std::optional<nlohmann::json>& metrics() const { return metrics_; }
  /// timings.json; null when there is none.
  [[nodiscard]] nlohmann::json timings() const;
  /// The newest checkpoint whose manifest holds, with a warning for each newer one that does not. InputError when there
  /// is none.
  [[nodiscard]] FoundCheckpoint checkpoint() const;

 private:
  std::string directory_;
  std::string recipe_text_;
  Recipe recipe_;
  std::optional<nlohmann::json> metrics_;
};

/// The temperature at `place` of metrics.json's `datasets`, such as "/ensemble_temperature_scaled/temperature": fitted
/// on validation data, it is one number whichever set it was applied to. Null when none was fitted.
[[nodiscard]] nlohmann::json fitted_temperature(const nlohmann::json& datasets, const std::string& place);

}  // namespace chorale
