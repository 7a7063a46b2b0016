# shellcheck shell=bash disable=SC2154
# Sourced by cluster/virtual/slurm: which processes belong to the cluster in $directory. Nothing is remembered in files of
# process ids, which are lost or stale when a start was killed: the kernel is asked.

# Every daemon is started with this in its environment; slurmd gives it to the steps' keepers, slurmstepd, and sbatch and
# srun to what the jobs start.
mark() { echo "SLURM_CONF=$directory/slurm.conf"; }

# having ENTRY: process ids with exactly that entry in their environment, one a line.
having() {
  # Processes may end while they are read.
  { grep -lzxF -- "$1" /proc/[0-9]*/environ 2>/dev/null || true; } | cut -d/ -f3
}

# daemons [NAME]: process ids of the cluster's daemons, all or those of one program.
daemons() {
  local pid name
  for pid in $(having "$(mark)"); do
    name=$(basename "$(readlink "/proc/$pid/exe" 2>/dev/null)" 2>/dev/null) || continue
    name=${name%-wlm}  # Debian's alternatives
    case "$name" in slurmctld | slurmd | slurmstepd | munged) [ "${1:-$name}" != "$name" ] || echo "$pid" ;; esac
  done
}

# job_processes: what the cluster's jobs started. Who merely talks to the cluster has no job id in the environment.
job_processes() {
  local pid
  for pid in $(having "$(mark)"); do
    [ "$pid" != $$ ] && grep -qz '^SLURM_JOB_ID=' "/proc/$pid/environ" 2>/dev/null && echo "$pid"
  done
  return 0
}

# end_processes SIGNAL SECONDS LISTING [ARGUMENT]: signals what the function LISTING lists and waits until it lists nothing;
# false when something is left.
end_processes() {
  local signal=$1 tenths=$(($2 * 10)) left
  shift 2
  while left=$("$@") && [ -n "$left" ]; do
    # shellcheck disable=SC2086
    [ -z "$signal" ] || kill -s "$signal" $left 2>/dev/null || true
    # KILL again and again, for what is killed may have been starting another one.
    [ "$signal" = KILL ] || signal=""
    ((tenths-- > 0)) || return 1
    sleep 0.1
  done
}
