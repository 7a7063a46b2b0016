#include "launch/recipe/scalars.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace chorale::recipe {
namespace {

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string_view without_sign(std::string_view text, bool& negative) {
  negative = !text.empty() && text.front() == '-';
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  return text;
}

constexpr std::array<std::pair<std::string_view, int>, 5> kUnits = {
    {{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}}};

}  // namespace

std::optional<std::uint64_t> parse_unsigned(std::string_view text) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  if (!all_digits(text) || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc{}) return std::nullopt;
  return value;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  bool negative = false;
  const std::string_view digits = without_sign(text, negative);
  if (!all_digits(digits) || (digits.size() > 1 && digits.front() == '0')) return std::nullopt;
  const std::string signed_digits = (negative ? "-" : "") + std::string(digits);
  std::int64_t value = 0;
  const auto result = std::from_chars(signed_digits.data(), signed_digits.data() + signed_digits.size(), value);
  if (result.ec != std::errc{}) return std::nullopt;
  return value;
}

std::optional<double> parse_number(std::string_view text) {
  bool negative = false;
  const std::string_view magnitude = without_sign(text, negative);
  // from_chars also knows "inf", "nan" and nothing before the point; a digit has to come first, or after a point.
  const std::size_t first_digit = !magnitude.empty() && magnitude.front() == '.' ? 1 : 0;
  if (magnitude.size() <= first_digit || magnitude[first_digit] < '0' || magnitude[first_digit] > '9') {
    return std::nullopt;
  }
  double value = 0;
  const char* end = magnitude.data() + magnitude.size();
  const auto result = std::from_chars(magnitude.data(), end, value);
  if (result.ec != std::errc{} || result.ptr != end || !std::isfinite(value)) return std::nullopt;
  return negative ? -value : value;
}

std::optional<bool> parse_boolean(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  int shift = 0;
  for (const auto& [unit, bits] : kUnits) {
    if (!text.ends_with(unit)) continue;
    text.remove_suffix(unit.size());
    if (text.ends_with(' ')) text.remove_suffix(1);
    shift = bits;
    break;
  }
  const auto count = parse_unsigned(text);
  if (!count || *count > (std::numeric_limits<std::uint64_t>::max() >> shift)) return std::nullopt;
  return *count << shift;
}

std::string bytes_text(std::uint64_t bytes) {
  for (const auto& [unit, bits] : kUnits) {
    if (bits > 0 && bytes > 0 && bytes % (std::uint64_t{1} << bits) == 0) {
      return fmt::format("{}{}", bytes >> bits, unit);
    }
  }
  return fmt::format("{}", bytes);
}

std::string_view typed_look(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower == "true" || lower == "false") return "true or false";
  bool negative = false;
  const std::string_view magnitude = without_sign(lower, negative);
  if (magnitude == ".inf" || lower == ".nan") return "a number";
  // Also what overflows or has leading zeros: a reader other than ours would take it for a number.
  const bool numeric = !magnitude.empty() && magnitude.find_first_not_of("0123456789.e+-_") == std::string_view::npos &&
                       std::isdigit(static_cast<unsigned char>(
                           magnitude.front() == '.' && magnitude.size() > 1 ? magnitude[1] : magnitude.front())) != 0;
  if (!numeric) return "";
  if (all_digits(magnitude)) return "a number";
  double ignored = 0;
  const auto result = std::from_chars(magnitude.data(), magnitude.data() + magnitude.size(), ignored);
  return result.ptr == magnitude.data() + magnitude.size() ? "a number" : "";
}

}  // namespace chorale::recipe
