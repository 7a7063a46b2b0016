// The table of tensors of a GGUF file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/weights/byte_reader.hpp"
#include "core/weights/metadata.hpp"
#include "core/weights/tensor_source.hpp"

namespace chorale {

/// Reads `count` table entries at the reader's position and places them in `file`, whose data section begins at the
/// next multiple of `general.alignment` (32 when absent). Returns them sorted by name. InputError on duplicate names,
/// shapes that overflow, types that cannot be decoded, misaligned offsets, and data that overlap or leave the file.
[[nodiscard]] std::vector<TensorView> read_gguf_tensors(ByteReader& reader, std::uint64_t count,
                                                        const Metadata& metadata, std::span<const std::byte> file);

}  // namespace chorale
