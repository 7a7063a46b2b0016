# Sourced by launch/quickstart: how many ranks this machine has room for, and starting the program on them.

# free_cores: cores this process may use that are idle, looked at for half a second; at least 1. Ranks that wait for each
# other lose far more to a busy core than they gain from one more rank.
free_cores() {
  local allowed busy_0 all_0 busy_1 all_1 idle
  allowed=$(nproc)
  read -r busy_0 all_0 < <(processor_times)
  sleep 0.5
  read -r busy_1 all_1 < <(processor_times)
  idle=$(awk -v n="$(getconf _NPROCESSORS_ONLN)" -v busy=$((busy_1 - busy_0)) -v all=$((all_1 - all_0)) \
    'BEGIN { print (all > 0 ? int(n * (1 - busy / all) + 0.3) : 1) }')
  [ "$idle" -lt "$allowed" ] || idle=$allowed
  [ "$idle" -ge 1 ] || idle=1
  echo "$idle"
}

# processor_times: ticks all cores were busy, and all ticks, since the start of the machine.
processor_times() { awk '/^cpu / { all = 0; for (i = 2; i <= 9; ++i) all += $i; print all - $5 - $6, all }' /proc/stat; }

# choose_layout MOST MEGABYTES: "RANKS THREADS", one rank per free core, as many as fit into memory with MEGABYTES each, at
# most MOST; cores left over become threads.
choose_layout() {
  local cores ranks memory
  cores=$(free_cores)
  memory=$(awk -v each="$2" '/^MemAvailable:/ { print int($2 / 1024 / each) }' /proc/meminfo 2>/dev/null || echo 1)
  ranks=$cores
  [ "$ranks" -le "$1" ] || ranks=$1
  [ "$ranks" -le "${memory:-1}" ] || ranks=${memory:-1}
  [ "$ranks" -ge 1 ] || ranks=1
  echo "$ranks $((cores / ranks))"
}

# with_layout RANKS THREADS COMMAND...: runs it under mpirun on that many ranks; with one rank, or where mpirun does not
# work (a container without any network, say), as one process on all these cores.
with_layout() {
  local ranks=$1 threads=$2 launcher
  shift 2
  # One machine: no remote shell is needed. Root is what containers run as.
  launcher=(env "OMP_NUM_THREADS=$threads" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_plm=isolated
    mpirun -n "$ranks" --oversubscribe --bind-to none)
  if [ "$ranks" -gt 1 ] && "${launcher[@]}" true >/dev/null 2>&1; then
    "${launcher[@]}" "$@"
  else
    [ "$ranks" = 1 ] || say "   mpirun does not work here; going on with one process"
    env "OMP_NUM_THREADS=$((ranks * threads))" "$@"
  fi
}
