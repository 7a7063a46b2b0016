#include "launch/training/run_log.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/errors.hpp"
#include "launch/training/log_lines.hpp"
#include "launch/training/run_result.hpp"

namespace chorale {
namespace {

nlohmann::json number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
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

// The mean over the members that the last finished interval among the lines has.
std::optional<double> mean_loss(const nlohmann::json& lines) {
  std::int64_t step = -1;
  for (const nlohmann::json& line : lines) {
    if (line.contains("loss")) step = std::max(step, line["step"].get<std::int64_t>());
  }
  double loss = 0.0;
  double members = 0.0;
  for (const nlohmann::json& line : lines) {
    if (!line.contains("loss") || line["step"] != step) continue;
    loss += line["loss"].is_number() ? line["loss"].get<double>() : std::nan("");
    members += 1.0;
  }
  return members > 0.0 ? std::optional<double>(loss / members) : std::nullopt;
}

}  // namespace

RunLog::RunLog(const RunWorld& run, const Recipe& recipe, std::int64_t steps_done, double seconds_before,
               Progress& progress)
    : run_(run),
      progress_(progress),
      pooled_(run, recipe.evaluation, static_cast<std::size_t>(recipe.ensemble.members)),
      seconds_before_(seconds_before),
      pace_(run.placement()),
      stragglers_(run.placement()),
      met_step_(steps_done) {
  own_.host = run.world().host();
  own_.group = run.group_number();
  own_.leads = run.leads_group();
  if (!run.is_root()) return;
  goes_on_ = recipe.checkpoint.on_failure == OnFailure::go_on;
  file_.emplace(recipe.output_directory + "/log.jsonl", goes_on_ ? LogFile::OnFailure::keep : LogFile::OnFailure::stop);
  events_.emplace(recipe.output_directory + "/tensorboard", run.first_member(), run.placement().members, steps_done);
}

void RunLog::start(std::int64_t total_steps) {
  waited_ = run_.group().summing_seconds();
  started_ = interval_started_ = proceeded_ = Progress::steady_seconds();
  progress_.start("training", total_steps, "step", met_step_);
}

void RunLog::finish() {
  tokens_per_second_ =
      static_cast<double>(pace_.tokens() + own_.tokens) / std::max(1e-9, Progress::steady_seconds() - started_);
  progress_.finish();
  if (!run_.is_root()) return;
  if (const std::string text = pace_.text(pace_.slowest_of_all()); !text.empty()) {
    spdlog::info("{} the time per step of the fastest group", text);
  }
  if (const std::string text = Stragglers::text(stragglers_.of_all()); !text.empty()) spdlog::info("{}", text);
}

void RunLog::pause() {
  own_.seconds += Progress::steady_seconds() - proceeded_;
}

void RunLog::stepped(const StepReport& report) {
  double loss = 0.0;
  double training = 0.0;
  for (const MemberReport& member : report.members) {
    if (!member.training) continue;
    own_.tokens += member.tokens;
    loss += member.loss;
    training += 1.0;
  }
  ++own_.steps;
  // This rank's part of a batch is enough where there is nothing else.
  if (run_.world().size() == 1 || !loss_) loss_ = loss / training;
  if (run_.has_one_group()) {
    progress_.update(report.step, loss_, pace_.tokens() + own_.tokens);
    return;
  }
  const double steps = static_cast<double>(report.step - met_step_) * pace_.slowest_per_step_of(own_.group);
  const double own_share = static_cast<double>(run_.members().size()) / static_cast<double>(run_.placement().members);
  const double tokens =
      pace_.tokens_per_step() > 0.0 ? steps * pace_.tokens_per_step() : static_cast<double>(own_.tokens) / own_share;
  progress_.update(met_step_ + static_cast<std::int64_t>(steps), loss_,
                   pace_.tokens() + static_cast<std::int64_t>(tokens));
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
  if (run_.has_one_group()) meet(report.step);
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
  // Not a matter of the log files: it only travels with their lines.
  take_down({{"step", 0}, {"note", message}, {"warning", warning}});
  if (run_.has_one_group()) write(std::exchange(waiting_, nlohmann::json::array()));
}

void RunLog::take_down(nlohmann::json line) {
  if (!run_.leads_group()) return;
  line["wall_time"] = wall_seconds();
  waiting_.push_back(std::move(line));
}

void RunLog::exchange(std::int64_t step) {
  if (!run_.has_one_group()) meet(step);  // of one group nothing waits
}

void RunLog::meet(std::int64_t step) {
  own_.peak_memory = own_peak_memory();
  own_.waited = run_.group().summing_seconds() - std::exchange(waited_, run_.group().summing_seconds());
  waiting_.push_back({{"pace", to_json(own_)}});
  own_.steps = own_.tokens = 0;
  own_.seconds = 0.0;
  const nlohmann::json gathered = run_.gather(std::exchange(waiting_, nlohmann::json::array()));
  nlohmann::json lines = nlohmann::json::array();
  std::vector<RankPace> paces;
  for (const nlohmann::json& line : gathered) {
    if (line.contains("pace")) {
      paces.push_back(rank_pace(line["pace"]));
    } else {
      lines.push_back(line);
    }
  }
  add_pooled(pooled_.metrics(), lines);
  std::stable_sort(lines.begin(), lines.end(),
                   [](const nlohmann::json& a, const nlohmann::json& b) { return place_of(a) < place_of(b); });
  write(lines);
  if (!run_.is_root()) return;
  pace_.met(paces);
  stragglers_.met(paces);
  met_step_ = step;
  show(step, lines);
}

void RunLog::show(std::int64_t step, const nlohmann::json& lines) {
  const std::optional<double> loss = mean_loss(lines);
  if (loss) loss_ = loss;
  const std::string remark = pace_.text(pace_.slowest());
  progress_.note(static_cast<double>(pace_.peak_memory()),
                 remark.empty() ? Stragglers::remark(stragglers_.lately()) : remark);
  progress_.update(step, loss_, pace_.tokens());
  if (loss) progress_.interval();
}

void RunLog::write(const nlohmann::json& lines) {
  if (!run_.is_root()) return;
  for (nlohmann::json line : lines) {
    const double wall_time = line["wall_time"].get<double>();
    line.erase("wall_time");
    if (!line.contains("note")) {
      file_->write(line);
      write_event(line, wall_time);
    } else if (line["warning"].get<bool>()) {
      spdlog::warn("{}", line["note"].get<std::string>());
    } else {
      spdlog::info("{}", line["note"].get<std::string>());
    }
  }
  show_validations(lines);
}

// Curves are a convenience: a disk that is full for a while may spoil them where training goes on.
void RunLog::write_event(const nlohmann::json& line, double wall_time) {
  try {
    events_->write(line, wall_time);
  } catch (const StorageError& error) {
    if (!goes_on_) throw;
    if (!std::exchange(events_torn_, true)) spdlog::warn("TensorBoard's curves may end here: {}", error.what());
  }
}

void RunLog::sync() {
  if (!file_) return;
  file_->sync();
  events_->sync();
}

void RunLog::result(std::int64_t step, const nlohmann::json& datasets) {
  events_->sync();
  events_->write_result(step, datasets);
}

}  // namespace chorale
