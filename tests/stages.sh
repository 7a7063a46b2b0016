# Sourced by tests/run: the stages, and the counting they share. Each adds to passed, failed and skipped; the names of
# what failed gather in `failures`. scratch is an empty directory that goes away at the end.

# check NAME COMMAND...: one stage that passes or fails as a whole.
check() {
  local name=$1 start
  shift
  start=$(now)
  say "-- $name ..."
  if ("$@"); then
    passed=$((passed + 1))
    say "   passed ($(seconds_since "$start") s)"
  else
    failed=$((failed + 1)) failures+=("$name")
    say "   FAILED: $name ($(seconds_since "$start") s)"
  fi
}

# run_ctest PRESET [ctest arguments]: the tests of build/PRESET, counted from ctest's own JUnit file.
run_ctest() {
  local preset=$1 counts name
  shift
  announce "tests of build/$preset"
  # The exit code is not asked: the counting finds failures, and an empty selection, in the results.
  ctest --test-dir "build/$preset" -j "$(nproc)" --timeout 900 --output-on-failure --no-tests=error \
    --test-output-size-passed 1000000 --test-output-size-failed 1000000 --output-junit "$scratch/junit.xml" "$@" >&2 || true
  if counts=$(.deps/venv/bin/python -B tests/count_results.py "$scratch/junit.xml" "$scratch/failures"); then
    read -r p f s <<<"$counts"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    while read -r name; do failures+=("$preset: $name"); done <"$scratch/failures"
  else
    failed=$((failed + 1)) failures+=("$preset: no test results")
  fi
  rm -f "$scratch/junit.xml"
  finished
}

# A few steps with little data: does the program as a whole go through and leave consistent files?
short_quickstart() {
  timeout --kill-after=10 600 build/dev/bin/chorale train recipes/quickstart.yaml --no-progress \
    ensemble.members=2 training.epochs=1 training.log_every=2 data.train.limit=48 data.validation.limit=24 data.test.limit=40 \
    data.shifted.0.limit=16 evaluation.every_epochs=1 evaluation.bootstrap=50 checkpoint.every_steps=4 \
    "output.directory=$scratch/run" >"$scratch/table" || return 1
  .deps/venv/bin/python -B tests/check_quickstart.py "$scratch/run" "$scratch/table" &&
    .deps/venv/bin/python -B tests/check_commands.py "$scratch/run" build/dev/bin/chorale
}

own_sources() { git ls-files "$@"; }

check_formatting() {
  own_sources '*.cpp' '*.hpp' '*.cu' '*.cuh' | xargs clang-format --dry-run --Werror --ferror-limit=3 >&2
}

# Sources in the dev preset's compilation database; the tests' own macros make too much noise for it.
# Without OpenMP: its header is g++'s own, and clang's is not needed to read the code.
check_clang_tidy() {
  local log=build/clang-tidy.log
  if ! run-clang-tidy-16 -quiet -p build/dev -j "$(parallel_jobs)" -extra-arg=-Wno-unknown-warning-option \
    -extra-arg=-fno-openmp -extra-arg=-Wno-source-uses-openmp -extra-arg=-Wno-unknown-pragmas \
    "^$PWD/(core|distributed|launch)/" >"$log" 2>&1; then
    grep -E 'error:|warning:' "$log" | sort -u | head -n 40 >&2 || tail -n 15 "$log" >&2
    say "   (whole output: $log)"
    return 1
  fi
}

build_sanitised() { build_preset asan-ubsan plain_tests torch_tests; }

finish_early() {
  failed=$((failed + 1)) failures+=("$1")
  finish
}

finish() {
  local name
  say ""
  for name in ${failures[@]+"${failures[@]}"}; do say "FAILED: $name"; done
  say "-- everything took $(seconds_since "$begun") s"
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ] || exit 1
  exit 0
}
