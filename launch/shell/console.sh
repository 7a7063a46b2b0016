# Sourced by launch/setup, launch/quickstart and tests/run: messages, timing and the few checks they share.
# Everything said here goes to standard error, so that standard output holds results only.

say() { printf '%s\n' "$*" >&2; }

# fail MESSAGE REMEDY: one line of what happened, one of what to do, exit code 1.
fail() {
  say "error: $1"
  say "       $2"
  exit 1
}

# seconds_since START, with one decimal; START as from `now`.
now() { date +%s%N; }
seconds_since() {
  local tenths=$((($(now) - $1) / 100000000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

# announce TEXT ... finished [NOTE]: one line before a step, one after it with the seconds it took.
step_start=0
announce() {
  step_start=$(now)
  say "-- $1 ..."
}
finished() { say "   ${1:-done} ($(seconds_since "$step_start") s)"; }

# show_tail FILE: the last lines of a log, indented, for a failure message.
show_tail() { tail -n "${2:-15}" "$1" | sed 's/^/   | /' >&2; }

# free_megabytes DIRECTORY
free_megabytes() { df -Pm "$1" | awk 'NR == 2 { print $4 }'; }

# parallel_jobs: compile jobs. CMAKE_BUILD_PARALLEL_LEVEL when set; else one per core, but no more than memory allows
# (a file that includes torch needs 1.5 GB).
parallel_jobs() {
  local cores memory
  if [ -n "${CMAKE_BUILD_PARALLEL_LEVEL:-}" ]; then echo "$CMAKE_BUILD_PARALLEL_LEVEL" && return; fi
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1572864) }' /proc/meminfo 2>/dev/null || echo "$cores")
  [ "${memory:-0}" -ge 1 ] || memory=1
  echo $((memory < cores ? memory : cores))
}

# build_preset PRESET [TARGET ...]: configures and builds build/PRESET, through ccache when it is there.
build_preset() {
  local preset=$1 cache="build/$1/CMakeCache.txt" log="build/$1.log" jobs
  shift
  jobs=$(parallel_jobs)
  announce "building the $preset preset in build/$preset with $jobs jobs"
  mkdir -p build
  # CMake refuses a build directory that was moved together with its checkout.
  if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$cache"; then rm -rf "build/$preset"; fi
  if command -v ccache >/dev/null; then export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
  if ! cmake --preset "$preset" >"$log" 2>&1; then
    show_tail "$log" 25
    fail "configuring build/$preset failed (whole output: $log)" "run launch/setup, or remove build/$preset and try again"
  fi
  if ! cmake --build "build/$preset" -j "$jobs" ${1:+--target "$@"} >>"$log" 2>&1; then
    grep -n -m 12 -E 'error:|FAILED:|fatal|undefined reference' "$log" | sed 's/^/   | /' >&2 || true
    show_tail "$log" 10
    fail "compiling build/$preset failed (whole output: $log)" "mend the first error above; with too little memory try CMAKE_BUILD_PARALLEL_LEVEL=1"
  fi
  finished "$(tail -n 1 "$log")"
}

# prepare_wordnet: the quick start's data, made anew each time; it takes a second and needs no network.
prepare_wordnet() {
  local log
  announce "preparing data/wordnet"
  log=$(.deps/venv/bin/python -B recipes/prepare/wordnet.py 2>&1) ||
    fail "the quick start's data could not be prepared: ${log#error: }" "install the Debian package wordnet-base"
  finished
}
