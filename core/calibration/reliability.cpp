#include "core/calibration/reliability.hpp"

#include <cmath>

#include "core/base/errors.hpp"
#include "core/calibration/bins.hpp"
#include "core/ensemble/log_math.hpp"

namespace chorale {
namespace {

// One model's answer to one labelled example.
struct Answer {
  std::uint32_t bin = 0;
  bool correct = false;
};

struct Sum {
  double count = 0.0;
  double confidence = 0.0;
  double correct = 0.0;
};

class Diagram {
 public:
  Diagram(std::span<const LogRows> parts, std::span<const std::int32_t> labels, std::size_t bins)
      : edges_(bins), parts_(parts.size()), sums_(parts.size(), std::vector<Sum>(bins)) {
    for (std::size_t example = 0; example < labels.size(); ++example) {
      if (labels[example] < 0) continue;
      ++examples_;
      for (std::size_t part = 0; part < parts_; ++part) add(part, parts[part].row(example), labels[example]);
    }
    CHORALE_ASSERT(examples_ > 0, "a reliability diagram needs a labelled example");
  }

  [[nodiscard]] std::vector<ReliabilityBin> bins() const {
    std::vector<ReliabilityBin> result(edges_.size());
    for (std::size_t bin = 0; bin < result.size(); ++bin) {
      Sum all;
      double gap = 0.0;
      for (std::size_t part = 0; part < parts_; ++part) {
        const Sum& sum = sums_[part][bin];
        all.count += sum.count;
        all.confidence += sum.confidence;
        all.correct += sum.correct;
        gap += std::abs(sum.correct - sum.confidence);
      }
      const auto width = static_cast<double>(edges_.size());
      result[bin].low = static_cast<double>(bin) / width;
      result[bin].high = static_cast<double>(bin + 1) / width;
      if (all.count == 0.0) continue;
      result[bin].count = all.count / static_cast<double>(parts_);
      result[bin].confidence = all.confidence / all.count;
      result[bin].accuracy = all.correct / all.count;
      result[bin].gap = gap / all.count;
    }
    return result;
  }

  void add_bands(std::vector<ReliabilityBin>& bins, std::size_t draws, std::uint64_t seed) const {
    std::vector<std::vector<double>> accuracies(bins.size());
    std::vector<std::uint32_t> counts(examples_);
    for (std::size_t draw = 0; draw < draws; ++draw) {
      draw_resample(seed, draw, counts);
      const std::vector<Sum> sums = resampled(counts);
      for (std::size_t bin = 0; bin < bins.size(); ++bin) {
        if (sums[bin].count > 0.0) accuracies[bin].push_back(sums[bin].correct / sums[bin].count);
      }
    }
    for (std::size_t bin = 0; bin < bins.size(); ++bin) {
      if (bins[bin].count >= kSmallestBandCount && !accuracies[bin].empty()) {
        bins[bin].band = percentile_interval(std::move(accuracies[bin]));
      }
    }
  }

 private:
  void add(std::size_t part, std::span<const double> row, std::int32_t label) {
    const std::size_t top = argmax(row);
    const double confidence = std::exp(row[top]);
    const std::size_t bin = edges_.index(confidence);
    const bool correct = top == static_cast<std::size_t>(label);
    Sum& sum = sums_[part][bin];
    sum.count += 1.0;
    sum.confidence += confidence;
    sum.correct += correct ? 1.0 : 0.0;
    answers_.push_back({static_cast<std::uint32_t>(bin), correct});
  }

  // Over all parts; example n counts counts[n] times.
  [[nodiscard]] std::vector<Sum> resampled(std::span<const std::uint32_t> counts) const {
    std::vector<Sum> sums(edges_.size());
    auto answer = answers_.begin();
    for (const std::uint32_t count : counts) {
      for (std::size_t part = 0; part < parts_; ++part, ++answer) {
        sums[answer->bin].count += count;
        sums[answer->bin].correct += answer->correct ? count : 0.0;
      }
    }
    return sums;
  }

  ConfidenceBins edges_;
  std::size_t parts_;
  std::size_t examples_ = 0;
  std::vector<std::vector<Sum>> sums_;  // [parts, bins]
  std::vector<Answer> answers_;         // [labelled examples, parts]
};

}  // namespace

std::vector<ReliabilityBin> reliability(std::span<const LogRows> parts, std::span<const std::int32_t> labels,
                                        std::size_t bins, std::size_t draws, std::uint64_t seed) {
  CHORALE_ASSERT(!parts.empty(), "a reliability diagram needs a model");
  const Diagram diagram(parts, labels, bins);
  std::vector<ReliabilityBin> result = diagram.bins();
  if (draws > 0) diagram.add_bands(result, draws, seed);
  return result;
}

}  // namespace chorale
