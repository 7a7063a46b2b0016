#include "launch/training/run_log.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <tuple>

namespace chorale {
namespace {

nlohmann::json number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

// Steps in order; at one step the interval before the validation, and what is to be said last; members in order.
auto place_of(const nlohmann::json& line) {
  const int kind = line.contains("note") ? 2 : line.contains("validation") ? 1 : 0;
  return std::make_tuple(line["step"].get<std::int64_t>(), kind, line.value("member", std::int64_t{0}));
}

// Beside the members' own validation: that of all of them together. Groups meet after every validation, so all these
// lines are of one.
void add_pooled(const nlohmann::json& metrics, nlohmann::json& lines) {
  for (nlohmann::json& line : lines) {
    if (!metrics.is_null() && line.contains("validation")) line["pooled_validation"] = metrics;
  }
}

// The mean over all members of each validation among the lines.
void show_validations(const nlohmann::json& lines) {
  for (std::size_t begin = 0; begin < lines.size();) {
    const nlohmann::json& step = lines[begin]["step"];
    double nll = 0.0;
    int members = 0;
    std::size_t end = begin;
    for (; end < lines.size() && lines[end]["step"] == step; ++end) {
      if (!lines[end].contains("validation")) continue;
      const nlohmann::json& value = lines[end]["validation"]["nll"];
      nll += value.is_number() ? value.get<double>() : std::nan("");
      ++members;
    }
    if (members > 0) {
      const nlohmann::json pooled = lines[end - 1].value("/pooled_validation/nll"_json_pointer, nlohmann::json());
      spdlog::info("validation after step {}: NLL {:.4f}, mean of {} members{}", step.get<std::int64_t>(),
                   nll / members, members,
                   pooled.is_number() ? fmt::format("; ensemble {:.4f}", pooled.get<double>()) : "");
    }
    begin = end;
  }
}

}  // namespace

RunLog::RunLog(const RunWorld& run, const Recipe& recipe, const std::string& path, double seconds_before,
               Progress& progress)
    : run_(run),
      progress_(progress),
      pooled_(run, recipe.evaluation, static_cast<std::size_t>(recipe.ensemble.members)),
      seconds_before_(seconds_before) {
  if (run.is_root()) file_.emplace(path);
}

void RunLog::start(std::int64_t steps_done, std::int64_t total_steps) {
  started_ = interval_started_ = Progress::steady_seconds();
  progress_.start("training", total_steps, "step", steps_done);
}

void RunLog::finish() {
  progress_.finish();
}

void RunLog::stepped(const StepReport& report) {
  double loss = 0.0;
  double training = 0.0;
  for (const MemberReport& member : report.members) {
    if (!member.training) continue;
    tokens_ += member.tokens;
    loss += member.loss;
    training += 1.0;
  }
  progress_.update(report.step, loss / training, tokens_);
}

void RunLog::logged(const IntervalReport& report) {
  const double now = Progress::steady_seconds();
  for (const MemberInterval& member : report.members) {
    take_down({{"member", member.member},
               {"step", report.step},
               {"epoch", report.epoch},
               {"loss", number(member.loss)},
               {"kl_to_base", number(member.divergence)},
               {"learning_rate", member.learning_rate},
               {"gradient_norm", number(member.gradient_norm)},
               {"tokens", member.tokens},
               {"tokens_per_second", number(static_cast<double>(member.interval_tokens) / (now - interval_started_))},
               {"seconds", seconds_before_ + now - started_}});
  }
  interval_started_ = now;
  if (run_.has_one_group()) write(std::exchange(waiting_, nlohmann::json::array()));
}

void RunLog::validated(const ValidationReport& report) {
  for (std::size_t m = 0; m < report.members.size(); ++m) {
    if (!report.training[m]) continue;
    const ValidationMetrics& metrics = report.metrics[m];
    take_down({{"member", report.members[m]},
               {"step", report.step},
               {"validation",
                {{"nll", number(metrics.nll)}, {"accuracy", number(metrics.accuracy)}, {"ece", number(metrics.ece)}}}});
  }
  interval_started_ = Progress::steady_seconds();
  pooled_.take(report);
  if (!run_.has_one_group()) return;
  add_pooled(pooled_.metrics(), waiting_);
  write(std::exchange(waiting_, nlohmann::json::array()));
}

void RunLog::noted(const std::string& message, bool warning) {
  // Not a matter of the log file: it only travels with its lines.
  take_down({{"step", 0}, {"note", message}, {"warning", warning}});
  if (run_.has_one_group()) write(std::exchange(waiting_, nlohmann::json::array()));
}

void RunLog::take_down(nlohmann::json line) {
  if (run_.leads_group()) waiting_.push_back(std::move(line));
}

void RunLog::exchange() {
  if (run_.has_one_group()) return;  // nothing waits
  nlohmann::json lines = run_.gather(waiting_);
  waiting_ = nlohmann::json::array();
  add_pooled(pooled_.metrics(), lines);
  std::stable_sort(lines.begin(), lines.end(),
                   [](const nlohmann::json& a, const nlohmann::json& b) { return place_of(a) < place_of(b); });
  write(lines);
}

void RunLog::write(const nlohmann::json& lines) {
  if (!run_.is_root()) return;
  for (const nlohmann::json& line : lines) {
    if (!line.contains("note")) {
      file_->write(line);
    } else if (line["warning"].get<bool>()) {
      spdlog::warn("{}", line["note"].get<std::string>());
    } else {
      spdlog::info("{}", line["note"].get<std::string>());
    }
  }
  show_validations(lines);
}

void RunLog::sync() {
  if (file_) file_->sync();
}

}  // namespace chorale
