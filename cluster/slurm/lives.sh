# shellcheck shell=bash
# Sourced by requeue.sbatch, after job.sh: a run that takes several lives of one job.
#
# Between lives one file remembers the newest checkpoint's step at the end of the last one and how many lives in a row
# brought no newer one: .JOBNAME-JOBID.lives in the directory the job was submitted from.

lives_file=$SLURM_SUBMIT_DIR/.$SLURM_JOB_NAME-$SLURM_JOB_ID.lives

# newest_step RUN: the step of the checkpoint named in LATEST; 0 when there is none.
newest_step() {
  local name
  name=$(cat "$1/checkpoints/LATEST" 2>/dev/null) || name=step_0
  name=${name#step_}
  case "$name" in "" | *[!0-9]*) echo 0 ;; *) echo $((10#$name)) ;; esac
}

# begin_life RUN: says where it goes on. A file of an earlier job of this number is not taken for ours.
begin_life() {
  if [ "${SLURM_RESTART_COUNT:-0}" = 0 ]; then rm -f "$lives_file"; fi
  first_step=$(newest_step "$1")
  say "-- $1: goes on from step $first_step"
}

# attend COMMAND...: runs it in the background and waits for it; its exit code, or 75 when it was asked to save and did not
# end in CHORALE_GRACE_SECONDS. SIGUSR2, which Slurm sends before the time limit (#SBATCH --signal), and SIGTERM become
# SIGUSR2 for the launcher, which passes it on to all ranks; mpirun itself would take SIGTERM for an order to kill them.
attend() {
  local code=0 launched deadline="" grace=${CHORALE_GRACE_SECONDS:-90} reason=""
  "$@" &
  launched=$!
  trap 'reason="the time is nearly up"' USR2
  trap 'reason=SIGTERM' TERM
  # Bash runs traps only between commands or while it waits for a process in the background.
  while kill -0 "$launched" 2>/dev/null; do
    if [ -n "$reason" ] && [ -z "$deadline" ]; then
      say "-- $(date '+%T'), $reason: asking all ranks to save and end"
      kill -USR2 "$launched" 2>/dev/null || true
      deadline=$((SECONDS + grace))
    elif [ -n "$deadline" ] && [ "$SECONDS" -ge "$deadline" ]; then
      say "-- not ended after $grace s; the last periodic checkpoint will do"
      return 75
    fi
    sleep 1 &
    wait $! || true
  done
  wait "$launched" || code=$?
  return "$code"
}

# end_life RUN CODE: ends the job with the program's exit code, or queues it again where another life may bring more.
end_life() {
  local run=$1 code=$2 step fruitless=0 allowed=${CHORALE_FRUITLESS_LIVES:-3} state
  case "$code" in
    0) rm -f "$lives_file" && say "-- done" && exit 0 ;;
    2 | 3 | 4 | 5) say "-- exit code $code: another life would end the same way" && rm -f "$lives_file" && exit "$code" ;;
  esac
  # Cancelled, or preempted, which Slurm requeues by itself: the job is not running any more, and not ours to queue.
  state=$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T 2>/dev/null) || state=unknown
  if [ "$state" != RUNNING ]; then
    say "-- exit code $code; the job is $state: what becomes of it is Slurm's to decide"
    exit "$code"
  fi
  step=$(newest_step "$run")
  if [ "$step" -le "$first_step" ]; then
    fruitless=$(($(cat "$lives_file" 2>/dev/null || echo 0) + 1))
    say "-- exit code $code; no checkpoint newer than step $step in this life ($fruitless in a row, $allowed allowed)"
    if [ "$fruitless" -ge "$allowed" ]; then
      rm -f "$lives_file"
      fail "$fruitless lives in a row brought $run no further than step $step" \
        "look above for why they ended; a shorter checkpoint.every_steps or a longer --time may help" "$code"
    fi
  else
    say "-- exit code $code; saved up to step $step (from $first_step): queueing the job again"
  fi
  echo "$fruitless" >"$lives_file"
  scontrol requeue "$SLURM_JOB_ID" || fail "the job could not be queued again" "submit it again; it goes on from step $step" "$code"
  # Slurm ends this shell presently; to go on would let the job finish in the meantime.
  sleep 60
  exit "$code"
}
