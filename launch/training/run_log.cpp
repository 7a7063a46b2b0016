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

RunLog::RunLog(const std::string& path, Progress& progress)
    : path_(path), file_(std::fopen(path.c_str(), "ae")), progress_(progress) {
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
    write({{"member", member.member},
           {"step", report.step},
           {"epoch", report.epoch},
           {"loss", number(member.loss)},
           {"kl_to_base", number(member.divergence)},
           {"learning_rate", member.learning_rate},
           {"gradient_norm", number(member.gradient_norm)},
           {"tokens", member.tokens},
           {"tokens_per_second", number(static_cast<double>(member.interval_tokens) / (now - interval_started_))},
           {"seconds", now - started_}});
  }
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
