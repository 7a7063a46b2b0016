#include "launch/training/run_control.hpp"

#include <fmt/format.h>

#include "core/base/interruption.hpp"

namespace chorale {

RunControl::RunControl(const RunWorld& run, const AdapterBank& bank, Boundaries boundaries, RunCheckpoints& checkpoints,
                       RunLog& log)
    : run_(run),
      bank_(bank),
      boundaries_(boundaries),
      checkpoints_(checkpoints),
      log_(log),
      agreement_(run.world(), checkpoints.every_seconds(), Progress::steady_seconds) {}

bool RunControl::go_on(std::int64_t steps_done, bool group_trains) {
  log_.pause();
  const StepAgreement::Outcome agreed = agreement_.before_step(steps_done);
  const bool stops = agreed.signal != 0;
  const bool due = checkpoints_.is_due(steps_done, agreed.save);
  if (run_.has_one_group()) {
    anyone_trains_ = group_trains;
  } else {
    const bool validated = boundaries_.validate_every > 0 && steps_done % boundaries_.validate_every == 0;
    const bool meet = !met_ || due || stops || validated || steps_done % boundaries_.log_every == 0;
    if (meet) {
      log_.exchange(steps_done);
      anyone_trains_ = !run_.all(!group_trains);
      met_ = true;
    }
  }
  // A run that ends here is saved by whoever ends it, with its best adapters.
  if (anyone_trains_ && stops) stop(agreed);
  if (anyone_trains_ && due) {
    checkpoints_.save_periodically(bank_, *trainer_);
    agreement_.saved();
  }
  log_.proceed();
  return anyone_trains_;
}

void RunControl::validation_made(bool complete) {
  if (!run_.all(complete)) stop(agreement_.meet(trainer_->steps_done()));
}

void RunControl::stop(const StepAgreement::Outcome& asked) {
  const std::int64_t step = trainer_->steps_done();
  if (step > 0 && !checkpoints_.has(step)) checkpoints_.save(bank_, *trainer_);
  const std::string where = step == 0
                                ? std::string("before the first step, so that nothing is lost")
                                : fmt::format("after step {} of {}, which is saved", step, trainer_->total_steps());
  // The rank that was asked says so; it is the one whose host and launcher are to be looked at.
  run_.world().together([&] {
    if (run_.world().rank() != asked.rank) return;
    throw Preempted(fmt::format("stopped by {} {}. The same command with --resume goes on from there.",
                                signal_name(asked.signal), where));
  });
  throw InternalError("a run was to stop, but nobody had been asked to");
}

bool RunControl::in_all_groups(bool of_this_group) {
  log_.pause();
  log_.exchange(trainer_->steps_done());
  // Those that are trained already go on whatever becomes of these.
  return run_.all(of_this_group) && run_.first_member() == 0;
}

}  // namespace chorale
