#include "launch/commands/input_mistakes.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "core/adapters/adapter_layout.hpp"
#include "core/weights/base_files.hpp"
#include "launch/training/data_sets.hpp"

namespace chorale {
namespace {

class Collector {
 public:
  // True when `part` went well.
  bool tries(const std::function<void()>& part) {
    try {
      part();
      return true;
    } catch (const InternalError&) {
      throw;
    } catch (const Error& error) {
      if (found_.messages.empty()) found_.code = error.code();
      found_.messages.emplace_back(error.what());
      return false;
    }
  }
  [[nodiscard]] InputMistakes take() { return std::move(found_); }

 private:
  InputMistakes found_;
};

// Sizes of the sets are told in training, where they are whole.
class WarningsOnly {
 public:
  WarningsOnly() : before_(spdlog::get_level()) { spdlog::set_level(std::max(before_, spdlog::level::warn)); }
  ~WarningsOnly() { spdlog::set_level(before_); }
  WarningsOnly(const WarningsOnly&) = delete;
  WarningsOnly& operator=(const WarningsOnly&) = delete;

 private:
  spdlog::level::level_enum before_;
};

std::vector<DataFileConfig> files_of(const DataConfig& data) {
  std::vector<DataFileConfig> files;
  for (const auto& file : {data.train, data.validation, data.test}) {
    if (file) files.push_back(*file);
  }
  files.insert(files.end(), data.shifted.begin(), data.shifted.end());
  for (DataFileConfig& file : files) {
    file.limit = file.limit == 0 ? kRecordsLookedAt : std::min(file.limit, kRecordsLookedAt);
  }
  return files;
}

}  // namespace

InputMistakes input_mistakes(const Recipe& recipe) {
  const WarningsOnly quiet;
  Collector collector;
  std::unique_ptr<BaseFiles> base;
  std::unique_ptr<Tokenizer> tokenizer;
  const bool opened = collector.tries([&] {
    base = open_base(recipe.base.path);
    tokenizer = load_tokenizer(recipe.base.path);
  });
  if (!opened) return collector.take();  // without a tokenizer there are no examples
  collector.tries([&] { const AdapterLayout layout(base->config(), recipe.adapter); });
  for (const DataFileConfig& file : files_of(recipe.data)) {
    collector.tries([&] {
      static_cast<void>(load_example_set(recipe, file, {*tokenizer, base->config().vocabulary}));
    });
  }
  return collector.take();
}

}  // namespace chorale
