// The ways a frozen base can be held in memory: one list for recipes, commands and messages.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace chorale {

/// float32 and bfloat16: every weight in that type. float8 and nf4: the decoder layers' linears in eight or four bits,
/// embedding, output head and norms as they are multiplied: bfloat16 on a GPU, float32 on a CPU.
enum class BaseDtype { float32, bfloat16, float8, nf4 };

/// By the names users write.
inline constexpr std::array<std::pair<std::string_view, BaseDtype>, 4> kBaseDtypes = {
    {{"float32", BaseDtype::float32},
     {"bfloat16", BaseDtype::bfloat16},
     {"float8", BaseDtype::float8},
     {"nf4", BaseDtype::nf4}}};

/// The same names for tables and help.
inline constexpr std::string_view kBaseDtypeWords = "float32, bfloat16, float8, nf4";

/// Nothing for a name that is not in the list.
[[nodiscard]] constexpr std::optional<BaseDtype> base_dtype_of(std::string_view name) {
  for (const auto& [word, dtype] : kBaseDtypes) {
    if (word == name) return dtype;
  }
  return std::nullopt;
}

/// Whether the decoder layers' linears are held in fewer bits than they are multiplied in.
[[nodiscard]] constexpr bool is_compact(BaseDtype dtype) {
  return dtype == BaseDtype::float8 || dtype == BaseDtype::nf4;
}

}  // namespace chorale
