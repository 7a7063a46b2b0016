// adapter_config.json of PEFT, the Hugging Face project's library of adapters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/adapters/adapter_config.hpp"
#include "core/interop/module_pattern.hpp"

namespace chorale {

/// What the file says about a LoRA adapter, after everything that would change its numbers in a way we do not compute
/// has been refused: other kinds of adapters, DoRA and other variants, trained biases, embeddings or whole modules, and
/// starts that change the base (PiSSA, OLoRA, CorDA, LoftQ).
class PeftConfig {
 public:
  /// Reads `path`. InputError naming the file, the key, what it holds and the remedy.
  explicit PeftConfig(const std::string& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::int64_t rank() const { return rank_; }
  [[nodiscard]] double alpha() const { return alpha_; }
  [[nodiscard]] AdapterScaling scaling() const { return scaling_; }

  /// What rank, alpha and scaling give where no pattern says otherwise.
  [[nodiscard]] double common_scale() const { return scale(rank_, alpha_); }
  /// Rank and scale of a module: those of the first key of rank_pattern and of alpha_pattern that matches its name, in
  /// the file's order, or else the common ones.
  [[nodiscard]] std::int64_t rank_of(const std::string& module) const;
  [[nodiscard]] double scale_of(const std::string& module) const;

  /// Whether PEFT would put an adapter on this module; nothing when the file does not say so in a way we can follow.
  [[nodiscard]] std::optional<bool> targets(const std::string& module, std::int64_t layer) const;

 private:
  struct Selection {
    std::vector<std::string> names;
    std::optional<ModulePattern> pattern;
    [[nodiscard]] bool holds(const std::string& module) const;
  };

  [[nodiscard]] double scale(std::int64_t rank, double alpha) const;
  [[nodiscard]] double first_match(const char* key, const std::vector<std::pair<ModulePattern, double>>& patterns,
                                   const std::string& module, double otherwise) const;

  std::string path_;
  std::int64_t rank_ = 8;  // PEFT's defaults
  double alpha_ = 8.0;
  AdapterScaling scaling_ = AdapterScaling::standard;
  std::vector<std::pair<ModulePattern, double>> ranks_;
  std::vector<std::pair<ModulePattern, double>> alphas_;
  std::optional<Selection> targets_;
  std::optional<Selection> excluded_;
  std::vector<std::int64_t> layers_;  // empty: all
};

}  // namespace chorale
