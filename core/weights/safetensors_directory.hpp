// The weights of a Hugging Face model directory, in one safetensors file or in shards with an index.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/weights/safetensors.hpp"
#include "core/weights/tensor_source.hpp"

namespace chorale {

/// Opens model.safetensors or, where that is absent, every shard named by model.safetensors.index.json. Names of shards
/// must be plain file names inside the directory. InputError when neither file is there, a shard is missing, or a
/// tensor is absent from the shard it is mapped to; a wrong `total_size` is only a warning, as is a tensor no index
/// mentions.
class SafetensorsDirectory : public TensorSource {
 public:
  explicit SafetensorsDirectory(const std::string& directory);

  [[nodiscard]] const std::vector<TensorView>& tensors() const override { return tensors_; }
  [[nodiscard]] const std::string& path() const override { return directory_; }
  /// As SafetensorsFile::undecodable(), over all files.
  [[nodiscard]] const std::map<std::string, std::string>& undecodable() const { return undecodable_; }
  /// The weight files, in order of their names.
  [[nodiscard]] std::vector<std::string> files() const;

 private:
  void open_shards(const std::string& index_path);

  std::string directory_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::vector<TensorView> tensors_;
  std::map<std::string, std::string> undecodable_;
};

}  // namespace chorale
