# shellcheck shell=bash disable=SC1090,SC2034,SC2154
# Sourced by the job scripts here: what they share. Needs bash and Slurm's commands, and nothing else of this checkout.

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "error: $1"
  say "       $2"
  exit "${3:-1}"
}

here=${CHORALE_SLURM:-$SLURM_SUBMIT_DIR/cluster/slurm}
site=${CHORALE_SITE:-$here/site.sh}
[ -r "$site" ] || fail "$site cannot be read" "let CHORALE_SITE name your site's file; it starts as a copy of $here/site.sh"
source "$site"

# begin_job: the site's environment, threads, and in the log once what will be asked for when something went wrong.
begin_job() {
  site_environment
  # Since 22.05 srun does not take this over from sbatch.
  if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then
    export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK OMP_NUM_THREADS=${OMP_NUM_THREADS:-$SLURM_CPUS_PER_TASK}
  fi
  local program
  program=$(command -v "${chorale[0]}") ||
    fail "${chorale[0]} is no program here ($(pwd) on $(hostname))" "set chorale in $site, or submit from the directory it is below" 127
  say "-- job $SLURM_JOB_ID, life $((${SLURM_RESTART_COUNT:-0} + 1)), $(date '+%F %T'), nodes $SLURM_JOB_NODELIST"
  scontrol show job "$SLURM_JOB_ID" | grep -v '^ *$' >&2 || true
  if [ -n "${LOADEDMODULES:-}" ]; then say "-- modules: $LOADEDMODULES"; fi
  say "-- $("${chorale[@]}" --version)"
  ldd "$program" 2>/dev/null | awk '/libmpi\.|libhdf5|libnccl|libtorch_cpu|libcudart/ { print "   " $1 " " $3 }' >&2 || true
}

# What a command is started with on all tasks of the job. Open MPI learns hosts and slots from Slurm, and must not bind: it
# would give each of two ranks one core, whatever was asked for. srun must not end the others as soon as one has ended with
# an error (--kill-on-bad-exit=1, perhaps the site's default): all are about to end with the same code, which would be lost.
# But when one has died, the others may wait for it for ever; the program's end takes no 20 s.
# (Arrays and not functions: a signal for the launcher must not meet a shell around it.)
launch_mpirun=(mpirun -n "${SLURM_NTASKS:-${SLURM_JOB_NUM_NODES:-1}}" --bind-to none)
launch_srun=(srun --mpi=pmix --kill-on-bad-exit=0 --wait=20)

# recipe_value KEY ARGUMENT...: what a recipe with these overrides says for `seed` or `output.directory`. Ends the job with
# the program's message and exit code when the recipe is wrong.
recipe_value() {
  local key=$1 argument arguments=() resolved code=0
  shift
  for argument in "$@"; do case "$argument" in -*) ;; *) arguments+=("$argument") ;; esac done
  resolved=$("${chorale[@]}" validate --print --no-files "${arguments[@]}") || code=$?
  [ "$code" = 0 ] || exit "$code"
  printf '%s\n' "$resolved" | awk -v key="$key" '
    /^[a-z_]+:/ { section = $0; sub(/:.*/, "", section) }
    { line = $0; name = $0; sub(/:.*/, "", name); sub(/^ */, "", name) }
    (line ~ /^ / ? section "." name : name) == key { sub(/^[^:]*: */, "", line); gsub(/^"|"$/, "", line); print line; exit }'
}

# resume_if_restarted: `--resume` in every life but the first, for Slurm itself starts a job again whose node failed.
resume_if_restarted() { [ "${SLURM_RESTART_COUNT:-0}" = 0 ] || echo --resume; }
