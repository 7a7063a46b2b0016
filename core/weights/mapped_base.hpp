// BaseFiles over any TensorSource: the one implementation behind open_base.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/weights/base_files.hpp"

namespace chorale {

/// Where a model's tensors come from, and how its file deviates from Hugging Face's conventions.
struct BaseLayout {
  std::unique_ptr<TensorSource> source;
  ModelConfig config;
  std::string_view kind;
  /// The file's name of a tensor with the given Hugging Face name.
  std::function<std::string(std::string_view)> file_name;
  /// q and k rows are in pair order (rotary pairs are rows 2i and 2i+1 of a head) and are put into half-split order.
  bool interleaved_rotary = false;
  /// What to do about tensors the configuration has no use for: refuse the file, or warn and go on.
  bool refuse_unused = false;
};

/// Checks that every tensor the configuration asks for is there with the right shape; InputError naming the tensor, the
/// file, the expected and the found shape.
[[nodiscard]] std::unique_ptr<BaseFiles> make_mapped_base(BaseLayout layout);

}  // namespace chorale
