#include "core/report/report_curves.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <vector>

#include "core/report/round_numbers.hpp"

namespace chorale {
namespace {

using nlohmann::json;

constexpr std::array<const char*, 3> kValidationKeys = {"nll", "accuracy", "ece"};

struct Point {
  std::int64_t step = 0;
  double loss = 0.0;
};

double number(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : std::nan("");
}

// Groups of `size` neighbours as one point each: the mean loss, at the last step.
json thinned(const std::vector<Point>& points, std::size_t size) {
  json steps = json::array();
  json losses = json::array();
  for (std::size_t begin = 0; begin < points.size(); begin += size) {
    const std::size_t end = std::min(begin + size, points.size());
    double sum = 0.0;
    for (std::size_t i = begin; i < end; ++i) sum += points[i].loss;
    steps.push_back(points[end - 1].step);
    losses.push_back(six_digits(sum / static_cast<double>(end - begin)));
  }
  return {{"steps", steps}, {"loss", losses}};
}

class Curves {
 public:
  void take(const json& line) {
    if (!line.is_object() || !line.contains("step") || !line["step"].is_number_integer()) return;
    const auto step = line["step"].get<std::int64_t>();
    const json member = line.value("member", json());
    if (!member.is_number_integer()) return;
    if (line.contains("loss")) {
      losses_[member.get<std::int64_t>()].push_back({step, number(line, "loss")});
    } else if (line.contains("validation") && line["validation"].is_object()) {
      add_validation(validations_[member.get<std::int64_t>()], step, line["validation"]);
    }
    const json pooled = line.value("pooled_validation", json());
    // All members' lines of a step carry the same.
    if (pooled.is_object() && (pooled_.is_null() || pooled_["steps"].back() != step)) {
      add_validation(pooled_, step, pooled);
    }
  }

  [[nodiscard]] json training() const {
    std::size_t longest = 0;
    for (const auto& [member, points] : losses_) longest = std::max(longest, points.size());
    const std::size_t size = std::max<std::size_t>(1, (longest + kCurvePoints - 1) / kCurvePoints);
    json members = json::array();
    for (const auto& [member, points] : losses_) {
      json curve = thinned(points, size);
      curve["member"] = member;
      members.push_back(curve);
    }
    return {{"members", members}, {"mean", thinned(mean(), size)}, {"averaged", size}};
  }

  [[nodiscard]] json validation() const {
    json members = json::array();
    for (const auto& [member, curve] : validations_) {
      json named = curve;
      named["member"] = member;
      members.push_back(named);
    }
    json pooled = pooled_;
    if (pooled.is_null()) pooled = {{"steps", json::array()}};
    return {{"members", members}, {"pooled", pooled}};
  }

 private:
  static void add_validation(json& curve, std::int64_t step, const json& values) {
    curve["steps"].push_back(step);
    for (const char* key : kValidationKeys) curve[key].push_back(six_digits(number(values, key)));
  }

  // Members that stopped or diverged have no lines any more.
  [[nodiscard]] std::vector<Point> mean() const {
    std::map<std::int64_t, std::pair<double, std::size_t>> sums;
    for (const auto& [member, points] : losses_) {
      for (const Point& point : points) {
        if (std::isnan(point.loss)) continue;
        sums[point.step].first += point.loss;
        ++sums[point.step].second;
      }
    }
    std::vector<Point> result;
    for (const auto& [step, sum] : sums) result.push_back({step, sum.first / static_cast<double>(sum.second)});
    return result;
  }

  std::map<std::int64_t, std::vector<Point>> losses_;
  std::map<std::int64_t, json> validations_;
  json pooled_;
};

}  // namespace

json report_curves(const std::string& path) {
  Curves curves;
  std::ifstream file(path, std::ios::binary);
  std::string line;
  while (std::getline(file, line)) curves.take(json::parse(line, nullptr, /*allow_exceptions=*/false));
  return {{"training", curves.training()}, {"validation", curves.validation()}};
}

}  // namespace chorale
