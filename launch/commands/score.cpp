#include "launch/commands/score.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "core/data/records.hpp"
#include "core/inference/text_scores.hpp"
#include "core/interop/adapter_ensemble.hpp"
#include "core/interop/ensemble_index.hpp"
#include "core/model/decoder.hpp"
#include "core/model/device.hpp"
#include "core/tokenizer/tokenizer.hpp"
#include "core/weights/base_files.hpp"
#include "launch/commands/common.hpp"
#include "launch/progress/progress.hpp"

namespace chorale {
namespace {

struct Options {
  std::string base;
  std::string data;
  std::vector<std::string> adapters;
  std::string dtype = "float32";
  std::string device = "auto";
  std::int64_t top = 0;
};

[[noreturn]] void refuse(const RecordFile& file, const Record& record, const std::string& what) {
  throw InputError(fmt::format("{}:{}: {}", file.path, record.line, what));
}

// Ids as they stand, or the text's ids; the tokenizer is loaded when the first text needs it.
std::vector<TokenId> ids_of(const RecordFile& file, const Record& record, const std::string& base,
                            std::unique_ptr<Tokenizer>& tokenizer) {
  if (record.fields.contains("ids")) {
    const nlohmann::json& list = record.fields["ids"];
    std::vector<TokenId> ids;
    for (const nlohmann::json& id : list.is_array() ? list : nlohmann::json::array({nullptr})) {
      if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() > INT32_MAX) {
        refuse(file, record, "field 'ids' must be a list of token ids (whole numbers from 0). Mend the record.");
      }
      ids.push_back(id.get<TokenId>());
    }
    return ids;
  }
  if (!record.fields.contains("text") || !record.fields["text"].is_string()) {
    refuse(file, record, "the record has neither 'text' (a string) nor 'ids' (a list of token ids). Give one of them.");
  }
  if (!tokenizer) tokenizer = load_tokenizer(base);
  try {
    return tokenizer->encode(record.fields["text"].get<std::string>(), /*add_special=*/true);
  } catch (const InputError& error) {
    refuse(file, record, error.what());
  }
}

// An adapter that texts are scored under; the base alone when there is no bank.
struct Scorer {
  std::string directory;
  std::unique_ptr<AdapterBank> bank;

  [[nodiscard]] std::unique_ptr<LinearHook> hook() const {
    return bank ? bank->hook(bank->parameters(), /*training=*/false, 0) : nullptr;
  }
};

// All are read and checked before the base's weights are, so that a mistake costs seconds.
std::vector<Scorer> load_scorers(const BaseFiles& base, const Options& options, at::Device device) {
  std::vector<Scorer> scorers;
  for (const std::string& directory : expand_adapter_directories(options.adapters, &base)) {
    scorers.push_back(
        {directory, std::make_unique<AdapterBank>(load_adapter_ensemble(base.config(), {directory}, device))});
  }
  if (scorers.empty()) scorers.emplace_back();
  return scorers;
}

nlohmann::json result_of(const std::vector<TokenId>& ids, const TextScores& scores, std::int64_t top) {
  nlohmann::json result;
  result["ids"] = ids;
  nlohmann::json log_probabilities = nlohmann::json::array({nullptr});
  double sum = 0.0;
  for (const float value : scores.log_probabilities) {
    log_probabilities.push_back(value);
    sum += static_cast<double>(value);
  }
  result["log_probabilities"] = log_probabilities;
  const bool scored = !scores.log_probabilities.empty();
  const double nll = scored ? -sum / static_cast<double>(scores.log_probabilities.size()) : 0.0;
  result["nll"] = scored ? nlohmann::json(nll) : nlohmann::json();
  result["perplexity"] = scored ? nlohmann::json(std::exp(nll)) : nlohmann::json();
  if (top > 0) {
    result["top"] = nlohmann::json::array();
    for (const auto& [id, logit] : scores.top) result["top"].push_back(nlohmann::json::array({id, logit}));
  }
  return result;
}

void score(const Options& options) {
  start_threads(0);
  const RecordFile file = read_records(options.data);
  const auto files = open_base(options.base);
  const at::Device device = choose_device(options.device);
  const std::vector<Scorer> scorers = load_scorers(*files, options, device);
  const Decoder decoder(*files, decoder_options(*base_dtype_of(options.dtype), device));
  std::unique_ptr<Tokenizer> tokenizer;
  Progress progress(progress_mode(common_options().shows_progress()));
  progress.start("scoring", static_cast<std::int64_t>(file.records.size()), "text");
  std::int64_t done = 0;
  for (const Record& record : file.records) {
    const std::vector<TokenId> ids = ids_of(file, record, options.base, tokenizer);
    try {
      for (const Scorer& scorer : scorers) {
        const auto hook = scorer.hook();
        nlohmann::json result = result_of(ids, score_tokens(decoder, ids, options.top, hook.get()), options.top);
        if (scorer.bank) result["adapter"] = scorer.directory;
        write_output(result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
      }
    } catch (const InputError& error) {
      refuse(file, record, error.what());
    }
    progress.update(++done);
  }
  progress.finish();
  if (tokenizer && tokenizer->dropped_bytes() > 0) {
    spdlog::warn("{} bytes of the texts have no token in this vocabulary and were dropped", tokenizer->dropped_bytes());
  }
}

}  // namespace

void add_score_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("score", "Log-probabilities of texts under a base model or its adapters, one JSON line each");
  command->add_option("BASE", options->base, "A .gguf file or a Hugging Face model directory")->required();
  command->add_option("--data", options->data, "JSON lines with `text`, or with `ids` (taken as they are)")->required();
  command->add_option("--adapters", options->adapters,
                      "LoRA adapters saved by PEFT or exported by chorale: one line per text and adapter, with the key "
                      "`adapter`; a directory with ensemble.json stands for its members");
  command->add_option("--top", options->top, "Also the K likeliest next tokens with their logits")
      ->check(CLI::Range(0, 1000000));
  std::vector<std::string> dtypes;
  for (const auto& [name, dtype] : kBaseDtypes) dtypes.emplace_back(name);
  command->add_option("--dtype", options->dtype, fmt::format("How the base is held: {}", kBaseDtypeWords))
      ->check(CLI::IsMember(dtypes))
      ->capture_default_str();
  command->add_option("--device", options->device, "auto, cpu or cuda")->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  command->footer(
      "Examples:\n"
      "  chorale score .deps/models/SmolLM2-135M-Instruct.Q4_1.gguf --data texts.jsonl\n"
      "  chorale score models/base --data texts.jsonl --adapters first second --top 5\n");
  command->callback([options] { score(*options); });
}

}  // namespace chorale
