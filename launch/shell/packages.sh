# Sourced by launch/setup: Debian packages. Arguments are list files with one package a line; `if-offered` behind a name
# says that not every release has it and that what needs it does without.

# not_offered NAME: apt's lists are there and do not know it.
not_offered() {
  compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null && ! apt-cache show "$1" >/dev/null 2>&1
}

# missing_packages LIST...: the names of the listed packages that are not installed, without those that need not be.
missing_packages() {
  local name missing=()
  for name in $(listed_and_not_installed "$@"); do
    if grep -q -h -E "^${name}[[:space:]]+if-offered" "$@" && not_offered "$name"; then continue; fi
    missing+=("$name")
  done
  echo ${missing[@]+"${missing[@]}"}
}

listed_and_not_installed() {
  local wanted installed
  wanted=$(sed 's/#.*//' "$@" | awk 'NF { print $1 }' | sort -u)
  # shellcheck disable=SC2086
  installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' $wanted 2>/dev/null | awk '$2 == "installed" { print $1 }' | sort -u)
  comm -23 <(echo "$wanted") <(echo "$installed") | xargs
}

# Another distribution: nothing here can install for it; its own packages may serve as well, so the build decides.
no_dpkg() {
  command -v dpkg-query >/dev/null && return 1
  say "-- this is no Debian or Ubuntu system: install the counterparts of the packages in $* yourself"
}

packages_check() {
  local missing
  no_dpkg "$@" && return 0
  missing=$(missing_packages "$@")
  [ -z "$missing" ] && return 0
  say "missing Debian packages: $missing"
  say "       get them with: apt-get install --no-install-recommends $missing"
  return 1
}

packages_install() {
  local missing log=.deps/apt.log
  no_dpkg "$@" && return 0
  missing=$(missing_packages "$@")
  if [ -z "$missing" ]; then
    say "-- Debian packages: all there"
    return 0
  fi
  say "-- Debian packages missing: $missing"
  choose_administrator "$missing"
  announce "installing them with apt-get"
  : >"$log"
  # An installation that was killed half-way leaves dpkg refusing everything until this has run.
  administer dpkg --configure -a >>"$log" 2>&1 || true
  # A failing update may be one unreachable extra source; whether it matters shows when installing.
  administer apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 update >>"$log" 2>&1 || true
  # Only now is it known what this release offers.
  missing=$(missing_packages "$@")
  # shellcheck disable=SC2086
  if [ -n "$missing" ] && ! administer apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing >>"$log" 2>&1; then
    explain_apt_failure "$log" "$missing"
  fi
  missing=$(missing_packages "$@")
  [ -z "$missing" ] || fail "apt-get reported success, yet these are not installed: $missing" "see $log"
  finished
}

# How to act as administrator: already root, through sudo without a password, or through sudo on a terminal.
choose_administrator() {
  if [ "$(id -u)" = 0 ]; then
    administrator=()
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    administrator=(sudo)
  else
    fail "Debian packages are missing and this user is neither root nor able to use sudo" \
      "have an administrator run: apt-get install --no-install-recommends $1"
  fi
}

administer() { ${administrator[@]+"${administrator[@]}"} env DEBIAN_FRONTEND=noninteractive "$@" </dev/null; }

explain_apt_failure() {
  local log=$1 missing=$2
  if grep -q -i 'no space left\|enough free space' "$log"; then
    fail "the disk is full" "free 2 GB on the system disk and run this again (whole output: $log)"
  elif grep -q -i 'Temporary failure resolving\|Could not resolve\|Could not connect\|Network is unreachable\|Connection timed out' "$log"; then
    fail "apt-get cannot reach the package servers" "check the network (and http_proxy) and run this again (whole output: $log)"
  elif grep -q -i 'Unable to locate package\|has no installation candidate' "$log"; then
    fail "this release does not offer every package in the list" "Debian 12 and Ubuntu 24.04 do, with 'universe' switched on (whole output: $log)"
  elif grep -q -i 'Could not get lock\|Unable to acquire' "$log"; then
    fail "another program is installing packages" "wait for it and run this again (whole output: $log)"
  fi
  show_tail "$log"
  fail "apt-get could not install: $missing" "the last lines above tell why (whole output: $log)"
}
