# Sourced by launch/setup: the Python environment .deps/venv. Arguments are requirement files of `name==version` lines.
#
# What counts as installed is what the interpreter finds, so an environment made by hand serves as well. Killed at any
# moment, set-up must not leave one that only looks whole: `installing` exists while files may be changing, and where
# it is found at the start the environment is made anew.

venv=.deps/venv
installing=.deps/venv.installing

# unmet_requirements FILE...: the lines that are not satisfied; fails when there is no sound environment.
unmet_requirements() {
  [ ! -e "$installing" ] && "$venv/bin/python" -I launch/shell/unmet_requirements.py "$@" 2>/dev/null
}

# Debian's own interpreter first: another one on the PATH may lack what a virtual environment needs.
find_python() {
  local candidate
  for candidate in /usr/bin/python3 python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      command -v "$candidate"
      return 0
    fi
  done
  fail "no Python 3.10 to 3.14 with the venv module was found" "install the packages python3 and python3-venv"
}

environment_check() {
  local unmet pip_arguments
  # Without a sound environment everything is missing.
  unmet=$(unmet_requirements "$@") || unmet=$(sed 's/#.*//' "$@")
  [ -n "$unmet" ] || return 0
  pip_arguments=$(printf -- ' -r %s' "$@")
  say "missing in $venv: $(echo "$unmet" | xargs)"
  say "       get it with: python3 -m venv $venv && $venv/bin/python -m pip install$pip_arguments"
  return 1
}

environment_install() {
  local unmet file
  unmet_requirements >/dev/null || create_environment
  for file in "$@"; do
    unmet=$(unmet_requirements "$file") || fail "$venv/bin/python does not run" "remove $venv and run this again"
    if [ -z "$unmet" ]; then
      say "-- $file: all there"
    else
      install_requirements "$file" "$unmet"
    fi
  done
}

create_environment() {
  local python
  python=$(find_python) || exit 1
  if [ -e "$venv" ]; then
    say "-- $venv is not whole (an earlier set-up was interrupted, or its Python is gone); making it anew"
  fi
  : >"$installing"
  rm -rf "$venv"
  require_space 8000 "torch and its libraries"
  announce "creating $venv with $("$python" --version 2>&1)"
  if ! "$python" -m venv "$venv" >.deps/venv.log 2>&1; then
    show_tail .deps/venv.log
    fail "creating $venv failed" "install python3-venv (whole output: .deps/venv.log)"
  fi
  rm -f "$installing"
  finished
}

require_space() {
  local free
  free=$(free_megabytes .deps)
  [ "$free" -ge "$1" ] || fail "$PWD/.deps has $free MB free, $2 need $1 MB" \
    "free some space, or make .deps a symbolic link to a folder on a larger disk"
}

install_requirements() {
  local file=$1 unmet=$2 log note=""
  log=.deps/pip-$(dirname "$file").log
  case "$unmet" in *torch==*) require_space 6000 "torch and its libraries" && note=" (about 3 GB to download: some minutes)" ;; esac
  announce "installing into $venv: $(echo "$unmet" | awk 'NR <= 10 { printf "%s%s", separator, $1; separator = " " }
    END { if (NR > 10) printf " and %d more", NR - 10 }')$note"
  : >"$installing"
  if ! "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off --retries 5 \
    --constraint launch/requirements.txt --requirement "$file" >"$log" 2>&1 </dev/null; then
    # pip changes nothing before it prints this; without it, what was there is still whole.
    grep -q '^Installing collected packages' "$log" || rm -f "$installing"
    explain_pip_failure "$log" "$file"
  fi
  rm -f "$installing"
  finished
}

# explain_pip_failure LOG WHAT: ends with one line of reason and one of remedy; pip's own advice is often beside the point.
explain_pip_failure() {
  local log=$1 what=$2
  if grep -q -i 'no space left' "$log"; then
    fail "the disk is full" "free 8 GB (or set TMPDIR and PIP_CACHE_DIR to a larger disk) and run this again (whole output: $log)"
  elif grep -q -i 'NewConnectionError\|Max retries exceeded\|name resolution\|Network is unreachable\|timed out\|ConnectionError\|ProxyError\|SSLError' "$log"; then
    fail "pip cannot reach the package index" "check the network, proxy and certificates (HTTPS_PROXY, PIP_CERT) and run this again (whole output: $log)"
  elif grep -q -i 'No matching distribution' "$log"; then
    fail "the package index has no fitting version of something in $what for this Python and processor" \
      "torch 2.11 needs 64-bit Linux and Python 3.10 to 3.14 (whole output: $log)"
  fi
  show_tail "$log" 10
  fail "pip could not install $what" "the last lines above tell why (whole output: $log)"
}
