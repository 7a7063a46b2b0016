#include "launch/training/run_control.hpp"

namespace chorale {

RunControl::RunControl(const RunWorld& run, const AdapterBank& bank, Boundaries boundaries, RunCheckpoints& checkpoints,
                       RunLog& log)
    : run_(run), bank_(bank), boundaries_(boundaries), checkpoints_(checkpoints), log_(log) {}

bool RunControl::go_on(std::int64_t steps_done, bool group_trains) {
  log_.pause();
  const bool due = checkpoints_.is_due(steps_done);
  if (run_.has_one_group()) {
    anyone_trains_ = group_trains;
  } else {
    const bool validated = boundaries_.validate_every > 0 && steps_done % boundaries_.validate_every == 0;
    const bool meet = !met_ || due || validated || steps_done % boundaries_.log_every == 0;
    if (meet) {
      log_.exchange(steps_done);
      anyone_trains_ = !run_.all(!group_trains);
      met_ = true;
    }
  }
  // A run that ends here is saved by whoever ends it, with its best adapters.
  if (due && anyone_trains_) checkpoints_.save(bank_, *trainer_);
  log_.proceed();
  return anyone_trains_;
}

bool RunControl::in_all_groups(bool of_this_group) {
  log_.pause();
  log_.exchange(trainer_->steps_done());
  return run_.all(of_this_group);
}

}  // namespace chorale
