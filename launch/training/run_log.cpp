#include "launch/training/run_log.hpp"

#include <spdlog/spdlog.h>

#include <cerrno>
#include <cmath>

#include "core/base/atomic_file.hpp"

namespace chorale {
namespace {

nlohmann::json number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

}  // namespace

RunLog::RunLog(const std::string& path, std::int64_t log_every, Progress& progress)
    : path_(path), file_(std::fopen(path.c_str(), "ae")), log_every_(log_every), progress_(progress) {
  if (file_ == nullptr) throw_storage_error("create", path, errno);
}

RunLog::~RunLog() {
  if (file_ != nullptr) std::fclose(file_);
}

void RunLog::start(std::int64_t total_steps) {
  started_ = interval_started_ = Progress::steady_seconds();
  progress_.start("training", total_steps);
}

void RunLog::finish() {
  progress_.finish();
}

void RunLog::write(const nlohmann::json& line) {
  const std::string text = line.dump() + "\n";
  if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() || std::fflush(file_) != 0) {
    throw_storage_error("write to", path_, errno);
  }
}

void RunLog::stepped(const StepReport& report) {
  tokens_ += report.tokens;
  interval_tokens_ += report.tokens;
  sums_.resize(report.members.size());
  double loss = 0.0;
  double training = 0.0;
  for (std::size_t m = 0; m < report.members.size(); ++m) {
    const MemberReport& member = report.members[m];
    if (!member.training) continue;
    sums_[m].loss += member.loss;
    sums_[m].divergence += member.divergence;
    sums_[m].gradient_norm += member.gradient_norm;
    ++sums_[m].steps;
    loss += member.loss;
    training += 1.0;
  }
  progress_.update(report.step, loss / training, tokens_);
  if (report.step % log_every_ != 0 && report.step != report.total_steps) return;
  const double now = Progress::steady_seconds();
  for (std::size_t m = 0; m < report.members.size(); ++m) {
    const Sums& sums = sums_[m];
    if (sums.steps == 0) continue;
    const auto steps = static_cast<double>(sums.steps);
    write({{"member", report.members[m].member},
           {"step", report.step},
           {"epoch", report.epoch},
           {"loss", number(sums.loss / steps)},
           {"kl_to_base", number(sums.divergence / steps)},
           {"learning_rate", report.members[m].learning_rate},
           {"gradient_norm", number(sums.gradient_norm / steps)},
           {"tokens", tokens_},
           {"tokens_per_second", number(static_cast<double>(interval_tokens_) / (now - interval_started_))},
           {"seconds", now - started_}});
  }
  sums_.assign(sums_.size(), Sums());
  interval_tokens_ = 0;
  interval_started_ = now;
}

void RunLog::validated(const ValidationReport& report) {
  double nll = 0.0;
  for (std::size_t m = 0; m < report.members.size(); ++m) {
    const ValidationMetrics& metrics = report.metrics[m];
    nll += metrics.nll / static_cast<double>(report.members.size());
    write({{"member", report.members[m]},
           {"step", report.step},
           {"validation",
            {{"nll", number(metrics.nll)}, {"accuracy", number(metrics.accuracy)}, {"ece", number(metrics.ece)}}}});
  }
  spdlog::info("validation after step {}: NLL {:.4f} (mean of {} members)", report.step, nll, report.members.size());
  interval_started_ = Progress::steady_seconds();
}

void RunLog::noted(const std::string& message, bool warning) {
  warning ? spdlog::warn("{}", message) : spdlog::info("{}", message);
}

}  // namespace chorale
