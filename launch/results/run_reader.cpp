#include "launch/results/run_reader.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/base/whole_file.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;

// An object that this program wrote, whole; nothing when the file is not there.
std::optional<nlohmann::json> object_of(const std::string& path, std::string_view remedy) {
  const std::optional<std::string> text = read_whole_file(path);
  if (!text) return std::nullopt;
  nlohmann::json value = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!value.is_object()) throw InputError(fmt::format("{}: is damaged, it is no JSON object. {}", path, remedy));
  return value;
}

void check_run(const std::string& directory, const std::string& recipe) {
  std::error_code ignored;
  const std::string shown = printable(directory, 200);
  if (!fs::exists(directory, ignored)) {
    throw UsageError(fmt::format(
        "{}: there is no such run directory (paths count from the working directory). Give the directory that "
        "`chorale train` wrote, its recipe's output.directory.",
        shown));
  }
  if (!fs::exists(recipe, ignored)) {
    throw UsageError(
        fmt::format("{}: is no run directory, it has no recipe.yaml. Give the directory that `chorale train` wrote, "
                    "its recipe's output.directory.",
                    shown));
  }
}

}  // namespace

RunReader::RunReader(std::string directory) : directory_(std::move(directory)) {
  while (directory_.size() > 1 && directory_.ends_with('/')) directory_.pop_back();
  const std::string recipe = file("recipe.yaml");
  check_run(directory_, recipe);
  recipe_text_ = read_whole_file(recipe).value_or("");
  recipe_ = load_recipe_text(recipe_text_, recipe);
  recipe_.output_directory = directory_;
  const std::string path = file("metrics.json");
  metrics_ = object_of(path, "`chorale train --resume` with the run's recipe makes it again.");
  if (!metrics_) return;
  const nlohmann::json version = metrics_->value("format_version", nlohmann::json());
  if (version.is_number_integer() && version.get<std::int64_t>() > kMetricsVersion) {
    throw InputError(fmt::format(
        "{}: has format version {}, this program knows versions up to {}. Use the chorale "
        "that made it ({}), or a newer one.",
        path, version.get<std::int64_t>(), kMetricsVersion, printable(metrics_->value("created_by", "unknown"))));
  }
}

nlohmann::json RunReader::timings() const {
  return object_of(file("timings.json"), "Remove it: it holds times alone.").value_or(nlohmann::json());
}

nlohmann::json fitted_temperature(const nlohmann::json& datasets, const std::string& place) {
  const nlohmann::json::json_pointer pointer(place);
  for (const nlohmann::json& dataset : datasets) {
    if (dataset.contains(pointer) && dataset[pointer].is_number()) return dataset[pointer];
  }
  return {};
}

FoundCheckpoint RunReader::checkpoint() const {
  CheckpointSearch search = find_latest_valid(file("checkpoints"));
  for (const std::string& problem : search.problems) spdlog::warn("checkpoint passed over: {}", problem);
  if (!search.found) {
    throw InputError(
        fmt::format("{}: holds no valid checkpoint, so there are no adapters to use. Wait for the run's first "
                    "checkpoint, or go on with it by `chorale train --resume`.",
                    file("checkpoints")));
  }
  return *std::move(search.found);
}

}  // namespace chorale
