// The codes of compact weights against their definitions: levels, nearest codes by brute force, plain decoding.
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "core/kernels/float8.hpp"
#include "core/kernels/float8_product.hpp"
#include "core/kernels/nf4.hpp"
#include "core/kernels/nf4_weight.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

constexpr std::array<std::size_t, 7> kWidths = {1, 2, 63, 64, 65, 200, 4096};
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The value below which a standard normal variable lies with probability p, by bisection.
double normal_quantile(double p) {
  double low = -10.0;
  double high = 10.0;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::sqrt(2.0)) / 2 < p ? low : high) = middle;
  }
  return low;
}

struct Nf4Row {
  std::vector<std::uint8_t> codes;
  std::vector<float> scales;

  explicit Nf4Row(const std::vector<float>& values)
      : codes(static_cast<std::size_t>(nf4_blocks(static_cast<std::int64_t>(values.size()))) * 32),
        scales(codes.size() / 32) {
    nf4_encode(values.data(), static_cast<std::int64_t>(values.size()), codes.data(), scales.data());
  }
  [[nodiscard]] std::size_t code(std::size_t i) const { return i % 2 == 0 ? codes[i / 2] >> 4U : codes[i / 2] & 15U; }
  template <typename T>
  [[nodiscard]] std::vector<T> decoded(std::size_t width) const {
    std::vector<T> row(width);
    nf4_decode(codes.data(), scales.data(), static_cast<std::int64_t>(width), row.data());
    return row;
  }
};

std::vector<float> random_row(std::size_t width, std::uint64_t number) {
  const at::Tensor values = random_tensor({static_cast<std::int64_t>(width)}, number, at::kFloat) * 0.07;
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + width};
}

// Value of an e4m3 code by its definition.
double float8_value(std::uint8_t code) {
  const int exponent = code >> 3U & 15;
  const int fraction = code & 7;
  if (exponent == 15 && fraction == 7) return kNan;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction / 8.0, -6) : std::ldexp(1.0 + fraction / 8.0, exponent - 7);
  return (code & 128) != 0 ? -magnitude : magnitude;
}

}  // namespace

TEST_CASE("NF4's levels are quantiles of the normal distribution, eight above zero and seven below") {
  // The way of the paper's code: evenly spaced probabilities from the offset to one half on either side.
  const double offset = ((1 - 1 / 30.0) + (1 - 1 / 32.0)) / 2;
  const double largest = normal_quantile(offset);
  for (int i = 0; i < 8; ++i) {
    const double above = normal_quantile(offset + (0.5 - offset) * i / 8) / largest;
    CHECK(static_cast<double>(kNf4Levels[static_cast<std::size_t>(15 - i)]) == Approx(above).margin(2e-7));
  }
  for (int i = 0; i < 7; ++i) {
    const double below = -normal_quantile(offset + (0.5 - offset) * i / 7) / largest;
    CHECK(static_cast<double>(kNf4Levels[static_cast<std::size_t>(i)]) == Approx(below).margin(2e-7));
  }
  CHECK(kNf4Levels[7] == 0.0F);
}

TEST_CASE("NF4 takes the nearest level of every value, whatever the row's length") {
  for (const std::size_t width : kWidths) {
    const std::vector<float> row = random_row(width, width);
    const Nf4Row encoded(row);
    bool all_nearest = true;
    for (std::size_t i = 0; i < width; ++i) {
      float largest = 0;
      for (std::size_t j = i / 64 * 64; j < std::min(width, i / 64 * 64 + 64); ++j) {
        largest = std::max(largest, std::abs(row[j]));
      }
      CHECK(encoded.scales[i / 64] == largest);
      const auto value = static_cast<double>(row[i] / largest);
      std::size_t nearest = 0;
      for (std::size_t k = 1; k < 16; ++k) {
        const auto distance = [&](std::size_t level) {
          return std::abs(static_cast<double>(kNf4Levels[level]) - value);
        };
        if (distance(k) < distance(nearest)) nearest = k;
      }
      all_nearest = all_nearest && encoded.code(i) == nearest;
    }
    CHECK(all_nearest);
  }
}

TEST_CASE("NF4 decodes as its plain twin does, and what it has decoded is encoded to the same codes") {
  for (const std::size_t width : kWidths) {
    const std::vector<float> row = random_row(width, 7 + width);
    const Nf4Row encoded(row);
    const std::vector<float> values = encoded.decoded<float>(width);
    const std::vector<double> wide = encoded.decoded<double>(width);
    std::vector<double> plain(width);
    nf4_decode_plain(encoded.codes.data(), encoded.scales.data(), static_cast<std::int64_t>(width), plain.data());
    for (std::size_t i = 0; i < width; ++i) {
      CHECK(values[i] == static_cast<float>(plain[i]));
      CHECK(wide[i] == static_cast<double>(values[i]));
      // No value is further from its level than half the widest gap.
      CHECK(std::abs(plain[i] - static_cast<double>(row[i])) <= 0.152 * static_cast<double>(encoded.scales[i / 64]));
    }
    const Nf4Row again(values);
    CHECK(again.codes == encoded.codes);
    CHECK(again.scales == encoded.scales);
  }
}

TEST_CASE("NF4 keeps zeros, and a block that is not finite shows") {
  const Nf4Row zeros(std::vector<float>(70, 0.0F));
  for (const float value : zeros.decoded<float>(70)) CHECK((value == 0.0F && !std::signbit(value)));
  for (const float bad : {kNan, std::numeric_limits<float>::infinity()}) {
    std::vector<float> row = random_row(128, 3);
    row[70] = bad;
    const std::vector<float> decoded = Nf4Row(row).decoded<float>(128);
    CHECK(std::isfinite(decoded[5]));
    CHECK(std::isnan(decoded[70]));
    CHECK(std::isnan(decoded[127]));
  }
}

TEST_CASE("NF4 decoded by torch operations equals the kernel, in every type") {
  for (const std::int64_t width : {5, 64, 150}) {
    const at::Tensor codes = random_tensor({9, nf4_blocks(width) * 32}, 11).mul(1000).to(at::kLong).to(at::kByte);
    const at::Tensor scales = random_tensor({9, nf4_blocks(width)}, 12, at::kFloat).abs();
    at::Tensor expected = at::empty({9, width}, at::kFloat);
    for (std::int64_t row = 0; row < 9; ++row) {
      nf4_decode(codes[row].const_data_ptr<std::uint8_t>(), scales[row].const_data_ptr<float>(), width,
                 expected[row].mutable_data_ptr<float>());
    }
    for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
      at::Tensor out = at::empty({9, width}, type);
      nf4_decode_by_operations(codes, scales, nf4_level_pairs(at::kCPU), out);
      CHECK(same_bits(out, expected.to(type)));
    }
  }
}

TEST_CASE("all 256 eight-bit floats decode to their definition and to torch's cast") {
  std::vector<std::uint8_t> codes(256);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(i);
  for (const float scale : {1.0F, 0.0371F}) {
    std::vector<float> values(256);
    std::vector<double> wide(256);
    float8_decode(codes.data(), scale, 256, values.data());
    float8_decode(codes.data(), scale, 256, wide.data());
    const at::Tensor cast =
        at::from_blob(codes.data(), {256}, at::TensorOptions().dtype(at::kFloat8_e4m3fn)).to(at::kFloat) * scale;
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const auto expected = static_cast<float>(float8_value(codes[i])) * scale;
      const auto torchs = cast[static_cast<std::int64_t>(i)].item<float>();
      if (std::isnan(expected)) {
        CHECK((std::isnan(values[i]) && std::isnan(wide[i]) && std::isnan(torchs)));
        continue;
      }
      CHECK(values[i] == expected);
      CHECK(wide[i] == static_cast<double>(expected));
      CHECK(torchs == expected);
      CHECK(std::signbit(values[i]) == (i >= 128));
    }
  }
}

TEST_CASE("rows in eight-bit floats: the largest becomes 448 and every value its nearest code") {
  at::Tensor x = random_tensor({4, 300}, 21, at::kFloat) * 0.3;
  x[1].zero_();
  x[2].mul_(1e-6);
  const Float8Rows rows = float8_rows(x);
  CHECK(rows.scales[1].item<float>() == 1.0F);
  const at::Tensor values = rows.codes.to(at::kDouble);
  for (std::int64_t row = 0; row < 4; ++row) {
    if (row != 1) CHECK(values[row].abs().max().item<double>() == kFloat8Largest);
    const at::Tensor wanted = (x[row] / rows.scales[row]).to(at::kDouble);
    bool all_nearest = true;
    for (std::int64_t i = 0; i < 300; ++i) {
      const double value = wanted[i].item<double>();
      double nearest = 1e9;
      for (int code = 0; code < 256; ++code) {
        const double candidate = float8_value(static_cast<std::uint8_t>(code));
        if (std::abs(candidate - value) < std::abs(nearest - value)) nearest = candidate;
      }
      // Of two equally near ones either will do here.
      all_nearest = all_nearest && std::abs(values[row][i].item<double>() - value) == std::abs(nearest - value);
    }
    CHECK(all_nearest);
  }
}

TEST_CASE("a row that is not finite becomes NaN and leaves the others alone") {
  at::Tensor x = random_tensor({3, 32}, 22, at::kFloat);
  const Float8Rows before = float8_rows(x);
  x[1][4] = kNan;
  const Float8Rows rows = float8_rows(x);
  CHECK((rows.codes.to(at::kFloat) * rows.scales)[1].isnan().all().item<bool>());
  CHECK(same_bits(rows.codes[0].to(at::kFloat), before.codes[0].to(at::kFloat)));
  CHECK(same_bits(rows.codes[2].to(at::kFloat), before.codes[2].to(at::kFloat)));
}
