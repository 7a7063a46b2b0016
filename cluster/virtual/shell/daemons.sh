# shellcheck shell=bash disable=SC2154
# Sourced by cluster/virtual/slurm: starting, looking at and ending the daemons of the cluster in $directory.

client() { SLURM_CONF=$directory/slurm.conf timeout 20 "$@"; }

# launch_daemon PROGRAM ARGUMENT...: in the background, in a session of its own, without our standard streams: a pipe that
# reads our output would otherwise wait for the daemon's end.
launch_daemon() {
  local program=$1 log
  log=$directory/log/$(basename "$1").output
  shift
  env -u SLURM_JOB_ID "$(mark)" setsid "$(find_daemon "$program")" "$@" </dev/null >>"$log" 2>&1 &
  launched+=($!)
  disown  # its end is nothing this shell should speak of
}

# await SECONDS CONDITION...: false when it does not come true in time.
await() {
  local tenths=$(($1 * 10))
  shift
  until "$@"; do
    ((tenths-- > 0)) || return 1
    sleep 0.1
  done
}

launched=()
munge_answers() { [ -S "$directory/munge/socket" ] && munge --no-input --socket="$directory/munge/socket" >/dev/null 2>&1; }

# idle_nodes: how many nodes take jobs; empty when slurmctld does not answer.
idle_nodes() { client sinfo --noheader --Node --partition=main --states=idle,alloc,mix --format=%N 2>/dev/null | sort -u | grep -c . || true; }
configured_nodes() { grep -c '^NodeName=' "$directory/slurm.conf"; }
all_nodes_take_jobs() { [ "$(idle_nodes)" = "$(configured_nodes)" ]; }

# one_ended: is one of the daemons just launched gone? A port that somebody else was quicker to take ends who wanted it.
one_ended() {
  local pid
  for pid in "${launched[@]}"; do kill -0 "$pid" 2>/dev/null || return 0; done
  return 1
}
settled() { one_ended || all_nodes_take_jobs; }

start_munge() {
  # --force: it may complain of the folder's permissions, /tmp's for instance, but must go on.
  launch_daemon munged --foreground --force --num-threads=2 --key-file="$directory/munge/key" --socket="$directory/munge/socket" \
    --pid-file="$directory/munge/pid" --log-file="$directory/log/munged.log" --seed-file="$directory/munge/seed"
  await 10 munge_answers || give_up "munged does not answer" "$directory/log/munged.log"
}

# foreign_entries: what is in the directory and was not put there by an earlier start; nothing once it holds a cluster.
foreign_entries() {
  ! grep -qs '^# Written by cluster/virtual/slurm' "$directory/slurm.conf" || return 0
  { ls -A -- "$directory" 2>/dev/null || true; } | grep -v -x -E 'log|state|munge|n[0-9]+|slurm.conf|slurmctld.pid' || true
}

start_cluster() {
  local begun name try
  check_needs
  [ -z "$(daemons)" ] || fail "a virtual Slurm runs in $directory" "stop it first: cluster/virtual/slurm stop $directory"
  [ -z "$(foreign_entries)" ] || fail "$directory holds something else: $(foreign_entries | head -n 3 | xargs)" "choose a new directory"
  begun=$(now)
  # The jobs of an earlier life are not gone on with.
  rm -rf "$directory"/{log,state,munge,n[0-9]*}
  mkdir -p "$directory"/{log,munge}
  trap 'trap - EXIT; quietly_end_all' EXIT
  trap 'exit 130' INT TERM
  for ((try = 1; try <= 5; ++try)); do
    write_config "$(choose_ports $((nodes + 1)))"
    [ "$try" -gt 1 ] || start_munge
    launched=()
    launch_daemon slurmctld -D -i -f "$directory/slurm.conf"
    for name in $(node_names); do launch_daemon slurmd -D -f "$directory/slurm.conf" -N "$name"; done
    await 60 settled || give_up "the nodes take no jobs after 60 s" "$directory/log/slurmctld.log" "$directory/log/n1.log"
    one_ended || break
    grep -q -i 'bind\|address already in use' "$directory"/log/{slurm*,n*}.* ||
      give_up "a daemon ended at once" "$directory/log/slurmctld.log" "$directory/log/n1.log"
    end_processes KILL 10 slurm_daemons || true
    [ "$try" -lt 5 ] || give_up "five times another program was quicker to take the ports" "$directory/log/slurmctld.log"
    rm -rf "$directory"/state "$directory"/log/{slurm*,n*}.*
  done
  # In this order: a signal before, between or after these finds either all of it ended or all of it running.
  trap - INT TERM EXIT
  say "-- Slurm $(client sinfo --version | cut -d' ' -f2) runs in $directory: $nodes nodes of $cores cores ($(seconds_since "$begun") s)"
}

slurm_daemons() { daemons slurmctld && daemons slurmd; }

# give_up MESSAGE LOG...: with the last lines of the logs; what was started is ended on the way out.
give_up() {
  local message=$1 log
  shift
  for log in "$@"; do [ ! -s "$log" ] || show_tail "$log" 8; done
  fail "$message" "the lines above tell why; more is in $directory/log"
}

cluster_status() {
  local name pids
  [ -f "$directory/slurm.conf" ] || fail "$directory holds no virtual Slurm" "start one there: cluster/virtual/slurm start $directory"
  for name in munged slurmctld slurmd slurmstepd; do
    pids=$(daemons "$name" | xargs)
    printf '%-10s %s\n' "$name" "${pids:+running, process ids }${pids:-not running}"
  done
  if [ -n "$(daemons slurmctld)" ] && client scontrol ping >/dev/null 2>&1; then
    client sinfo --Node --long
    client squeue
    all_nodes_take_jobs && return 0
    say "not all nodes take jobs"
  else
    say "slurmctld does not answer"
  fi
  exit 1
}

# run_in_cluster COMMAND...: in place of this shell. Ranks on two virtual nodes have the same host name and would take each
# other's shared memory for their own, and crash: they talk by TCP, over the loopback device, which containers without a
# network have as well.
run_in_cluster() {
  export SLURM_CONF=$directory/slurm.conf OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  export OMPI_MCA_btl=tcp,self OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo
  exec "$@"
}

# What was launched this moment may not be known by its environment yet, but is still a child of this shell.
quietly_end_all() {
  local pid
  for pid in "${launched[@]}"; do
    ! grep -qs "^PPid:[[:space:]]*$$\$" "/proc/$pid/status" || kill -s KILL "$pid" || true
  done
  end_everything || true
} >/dev/null 2>&1

# First what starts things; then by force the jobs, to which Slurm would give half a minute, and their keepers, which would
# wait for slurmctld; then the rest.
end_everything() {
  end_processes TERM 5 daemons slurmctld || end_processes KILL 5 daemons slurmctld || true
  end_processes KILL 10 job_processes || true
  end_processes KILL 10 daemons slurmstepd || true
  end_processes TERM 5 daemons || true
  end_processes KILL 10 daemons
}

stop_cluster() {
  local left
  [ "$(id -u)" = 0 ] || fail "a virtual Slurm runs as root" "run this as root"
  if [ -z "$(daemons)" ] && [ -z "$(job_processes)" ]; then
    say "-- no virtual Slurm runs in $directory"
    return 0
  fi
  end_everything || true
  left=$(daemons && job_processes)
  [ -z "$left" ] || fail "processes that do not end: $(echo "$left" | xargs)" "they may wait for a dead file system; look at them with ps"
  rm -f "$directory/munge/socket"* "$directory/munge/pid"
  say "-- stopped the virtual Slurm in $directory"
}
