// What `chorale inspect` says of whole directories: runs, adapters, exported ensembles.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace chorale {

/// Kind "run": recipe, state, checkpoints and, of a finished one, its sets with their headline numbers. Nothing is
/// locked or changed. UsageError, InputError as RunReader.
[[nodiscard]] nlohmann::ordered_json describe_run(const std::string& path);

/// Kind "adapter": a PEFT directory's rank, factor and tensors. InputError.
[[nodiscard]] nlohmann::ordered_json describe_adapter(const std::string& path);

/// Kind "ensemble": a directory that `chorale export` has written, its files checked. InputError.
[[nodiscard]] nlohmann::ordered_json describe_ensemble(const std::string& path);

/// Such a description as text of at most `columns` columns, without path and kind.
[[nodiscard]] std::string run_table(const nlohmann::ordered_json& run, std::size_t columns);
[[nodiscard]] std::string adapter_table(const nlohmann::ordered_json& adapter, std::size_t columns);
[[nodiscard]] std::string ensemble_table(const nlohmann::ordered_json& ensemble, std::size_t columns);

}  // namespace chorale
