// An ensemble ready to predict: the frozen base and this rank's members.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/adapters/adapter_bank.hpp"
#include "core/model/decoder.hpp"
#include "core/tokenizer/tokenizer.hpp"
#include "core/weights/base_files.hpp"
#include "launch/runs/ensemble_source.hpp"
#include "launch/training/data_sets.hpp"
#include "launch/training/memory_check.hpp"
#include "launch/training/run_world.hpp"

namespace chorale {

/// Made in two steps, so that mistakes in the data show before the weights are read: opened (configuration, tokenizer),
/// then loaded. All methods that say so are collective over all ranks.
class LoadedEnsemble {
 public:
  /// Opens base and tokenizer and places the members on the ranks. The world and `source` must outlive this.
  /// Collective. InputError, UsageError.
  LoadedEnsemble(const EnsembleSource& source, World& world);

  /// For encoding data.
  [[nodiscard]] BaseTokens tokens() const { return {*tokenizer_, files_->config().vocabulary}; }
  [[nodiscard]] const RunWorld& run() const { return run_; }

  /// Reads base and adapters; those of a run must have been trained over this very base. Collective. InputError;
  /// UsageError, before anything is read, when they do not fit into memory.
  void load();
  [[nodiscard]] const Decoder& decoder() const { return *decoder_; }
  [[nodiscard]] const AdapterBank& bank() const { return *bank_; }
  /// SHA-256 over the base's tensors.
  [[nodiscard]] const std::string& base_fingerprint() const { return fingerprint_; }

 private:
  [[nodiscard]] MemoryNeed need(c10::Device device) const;

  const EnsembleSource& source_;
  RunWorld run_;
  std::unique_ptr<BaseFiles> files_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::string fingerprint_;
  std::optional<Decoder> decoder_;
  std::optional<AdapterBank> bank_;
};

}  // namespace chorale
