// Where large tensors of the CPU lie, besides in torch's memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "core/base/mapped_memory.hpp"

namespace chorale {

/// `memory` as a tensor of bytes, which it lives as long as.
[[nodiscard]] at::Tensor bytes_over(MappedMemory memory);

/// A tensor of this process's own with anything in it. lasting: a large one that stays lies in huge pages, where there
/// are any, for faulting in small pages one by one takes longer than filling them; what comes and goes is better off in
/// torch's memory, whose pages are there already.
[[nodiscard]] at::Tensor own_memory(const std::vector<std::int64_t>& sizes, at::ScalarType type, bool lasting);

}  // namespace chorale
