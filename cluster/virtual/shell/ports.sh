# shellcheck shell=bash
# Sourced by cluster/virtual/slurm: TCP ports nobody listens on.

# used_ports: ports of this machine in use, in whatever state, one a line, from the kernel's own tables.
used_ports() {
  local port
  awk 'FNR > 1 { sub(/.*:/, "", $2); print $2 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null | sort -u |
    while read -r port; do echo $((16#$port)); done
}

# choose_ports COUNT: that many consecutive free ports; prints the first. Below 32768, where Linux begins to give out
# ports to whoever asks for any. Another program may take one before it is used: who starts daemons must be ready for that.
choose_ports() {
  local count=$1 used try first port
  used=" $(used_ports | xargs) "
  for ((try = 0; try < 100; ++try)); do
    first=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    for ((port = first; port < first + count; ++port)); do
      case "$used" in *" $port "*) continue 2 ;; esac
    done
    echo "$first"
    return 0
  done
  fail "no $count consecutive free ports between 20000 and 32000 were found" "end some programs that listen on them"
}
