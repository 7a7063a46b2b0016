# shellcheck shell=bash disable=SC2154
# Sourced by cluster/virtual/slurm: what must be there before anything is started.

slurm_packages="slurmctld slurmd slurm-client munge"

# find_daemon NAME: its path; administrators' folders are not on everybody's PATH.
find_daemon() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1"; }

check_needs() {
  local name lacking=""
  for name in slurmctld slurmd munged scontrol sinfo sbatch; do find_daemon "$name" >/dev/null || lacking+=" $name"; done
  [ -z "$lacking" ] || fail "not installed:$lacking" "apt-get install --no-install-recommends $slurm_packages"
  [ "$(id -u)" = 0 ] || fail "a virtual Slurm is started as root, for its daemons start processes for their users" \
    "run this as root, in a container for instance"
  # Slurm and munge make sockets here, and a socket's path has at most 107 characters.
  [ ${#directory} -le 60 ] || fail "$directory is too long a name: $((${#directory} - 60)) characters more than sockets allow" \
    "choose a shorter one, e.g. below /tmp"
  case "$directory" in *[!A-Za-z0-9_./-]*) fail "$directory holds characters that slurm.conf does not take" \
    "choose a name of letters, digits, dots, dashes and underscores" ;; esac
}
