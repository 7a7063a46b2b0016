#include "core/report/report_headline.hpp"

#include <fmt/format.h>

#include <cmath>

namespace chorale {
namespace {

using nlohmann::json;

// A minus sign is no hyphen.
std::string with_minus(const std::string& number) {
  return number.starts_with('-') ? "\u2212" + number.substr(1) : number;
}

// NaN where there is none.
double number(const json& dataset, const std::string& pointer) {
  const json::json_pointer place(pointer);
  if (!dataset.contains(place) || !dataset.at(place).is_number()) return std::nan("");
  return dataset.at(place).get<double>();
}

std::string nats(double value) {
  return std::isnan(value) ? "infinite" : fmt::format("{:.{}f}", value, value >= 100.0 ? 1 : 3);
}

std::string per_cent(double share) {
  return fmt::format("{:.1f}\u00a0%", 100.0 * share);
}

// " [a, b]" or nothing.
std::string interval(const json& dataset, const std::string& row, const std::string& metric, double scale) {
  const double low = number(dataset, fmt::format("/intervals/{}/{}/0", row, metric));
  const double high = number(dataset, fmt::format("/intervals/{}/{}/1", row, metric));
  if (std::isnan(low) || std::isnan(high)) return "";
  const int digits = scale == 1.0 ? 3 : 1;
  return fmt::format(" [{}, {}]", with_minus(fmt::format("{:.{}f}", scale * low, digits)),
                     with_minus(fmt::format("{:.{}f}", scale * high, digits)));
}

std::string examples(const json& dataset, const std::string& name) {
  const std::string count = dataset.value("labelled", dataset.value("examples", json(0))).dump();
  return fmt::format("{} {} examples", count, name == "test" || name == "validation" ? name : "'" + name + "'");
}

// A number of the ensemble beside that of the members' mean.
struct Compared {
  const char* title;
  const char* metric;
  const char* unit;
  double scale;  // 100 for per cent
  int digits;
};

// "NLL is 1.091 nats, 0.158 lower [0.131, 0.187]"
std::string change(const json& dataset, const Compared& what) {
  const double ensemble = number(dataset, fmt::format("/ensemble/{}", what.metric));
  const double member = number(dataset, fmt::format("/members/mean/{}", what.metric));
  if (std::isnan(ensemble) || std::isnan(member)) {
    return fmt::format("{} is {} against {}", what.title, nats(ensemble), nats(member));
  }
  const bool lower = ensemble <= member;
  std::string text = fmt::format("{} is {:.{}f}{}, {:.{}f} {}", what.title, what.scale * ensemble, what.digits,
                                 what.unit, what.scale * std::abs(ensemble - member), what.digits,
                                 fmt::format("{}{}", what.scale == 1.0 ? "" : "points ", lower ? "lower" : "higher"));
  // Of a reduction the interval is that of the change with its sign turned.
  const double low = number(dataset, fmt::format("/intervals/change/{}/0", what.metric));
  const double high = number(dataset, fmt::format("/intervals/change/{}/1", what.metric));
  if (std::isnan(low) || std::isnan(high)) return text;
  text += fmt::format(" [{}, {}]", with_minus(fmt::format("{:.{}f}", what.scale * (lower ? -high : low), what.digits)),
                      with_minus(fmt::format("{:.{}f}", what.scale * (lower ? -low : high), what.digits)));
  return low <= 0.0 && high >= 0.0 ? text + " (may be chance)" : text;
}

std::vector<std::string> tokens(const std::string& name, const json& dataset, bool several) {
  const std::string start =
      fmt::format("On {} with {} answer tokens", examples(dataset, name), dataset.value("tokens", json(0)).dump());
  if (!several) {
    return {fmt::format("{} the model has perplexity {}.", start, nats(number(dataset, "/ensemble/perplexity"))),
            fmt::format("That is an NLL of {} nats per token.", nats(number(dataset, "/ensemble/nll")))};
  }
  return {fmt::format("{} the ensemble has perplexity {}; one member alone, on average, {}.", start,
                      nats(number(dataset, "/ensemble/perplexity")), nats(number(dataset, "/members/mean/perplexity"))),
          change(dataset, {"NLL per token", "nll", " nats", 1.0, 3}) + " than of one member."};
}

std::vector<std::string> unlabelled(const std::string& name, const json& dataset) {
  return {fmt::format("{} without labels: the ensemble's mean entropy is {} nats, {} of it disagreement of members.",
                      examples({{"examples", dataset.value("examples", json(0))}}, name),
                      nats(number(dataset, "/uncertainty/total")), nats(number(dataset, "/uncertainty/epistemic")))};
}

std::vector<std::string> single(const std::string& name, const json& dataset) {
  std::vector<std::string> sentences = {
      fmt::format("On {} the model is right {} of the time{}.", examples(dataset, name),
                  per_cent(number(dataset, "/ensemble/accuracy")), interval(dataset, "ensemble", "accuracy", 100.0)),
      fmt::format("NLL is {} nats{}, ECE {}{}.", nats(number(dataset, "/ensemble/nll")),
                  interval(dataset, "ensemble", "nll", 1.0), nats(number(dataset, "/ensemble/ece")),
                  interval(dataset, "ensemble", "ece", 1.0))};
  return sentences;
}

}  // namespace

std::vector<std::string> report_headline(const std::string& name, const json& dataset) {
  const bool labelled = dataset.contains("members");
  if (!labelled) return unlabelled(name, dataset);
  const std::size_t members = dataset.at("members").value("each", json::array()).size();
  if (dataset.contains("tokens")) return tokens(name, dataset, members > 1);
  std::vector<std::string> sentences =
      members > 1 ? std::vector<std::string>{fmt::format(
                        "On {} the ensemble of {} is right {} of the time; one member alone, on average, {}.",
                        examples(dataset, name), members, per_cent(number(dataset, "/ensemble/accuracy")),
                        per_cent(number(dataset, "/members/mean/accuracy")))}
                  : single(name, dataset);
  if (members > 1) {
    sentences.push_back(
        fmt::format("Against one member: {}; {}; {}.", change(dataset, {"accuracy", "accuracy", "\u00a0%", 100.0, 1}),
                    change(dataset, {"NLL", "nll", " nats", 1.0, 3}), change(dataset, {"ECE", "ece", "", 1.0, 3})));
  }
  const char* scaled = members > 1 ? "ensemble_temperature_scaled" : "single_temperature_scaled";
  if (dataset.contains(scaled) && name != "validation") {
    sentences.push_back(fmt::format("With one temperature, {:.2f}, fitted on the validation set, NLL is {} and ECE {}.",
                                    number(dataset, fmt::format("/{}/temperature", scaled)),
                                    nats(number(dataset, fmt::format("/{}/nll", scaled))),
                                    nats(number(dataset, fmt::format("/{}/ece", scaled)))));
  }
  return sentences;
}

}  // namespace chorale
