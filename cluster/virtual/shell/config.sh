# shellcheck shell=bash disable=SC2154
# Sourced by cluster/virtual/slurm: the files a cluster is described by.

# node_names: n1, n2, ... one a line.
node_names() { seq -f 'n%.0f' 1 "$nodes"; }

# write_config PORT: slurm.conf, with slurmctld on PORT and the nodes on the ones above; folders; munge's key.
#
# Without cgroups, systemd and a database for accounting. What holds %n is a file or folder of each node's own: all nodes
# share this machine's file system, and the PMIx plugin wants a temporary folder per node.
write_config() {
  local port=$1 name memory
  memory=$(awk -v nodes="$nodes" '/^MemTotal:/ { print int($2 / 1024 / nodes) }' /proc/meminfo)
  mkdir -p "$directory"/{log,state,munge}
  chmod 700 "$directory/munge"
  for name in $(node_names); do mkdir -p "$directory/$name"/{spool,tmp}; done
  [ -s "$directory/munge/key" ] || (umask 077 && head -c 128 /dev/urandom >"$directory/munge/key")
  cat >"$directory/slurm.conf" <<TEXT
# Written by cluster/virtual/slurm; a later start writes it anew.
ClusterName=virtual
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$directory/munge/socket
StateSaveLocation=$directory/state
SlurmctldPidFile=$directory/slurmctld.pid
SlurmctldLogFile=$directory/log/slurmctld.log
SlurmdSpoolDir=$directory/%n/spool
SlurmdPidFile=$directory/%n/slurmd.pid
SlurmdLogFile=$directory/log/%n.log
TmpFS=$directory/%n/tmp
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=pmix
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
KillWait=30
SlurmctldTimeout=30
SlurmdTimeout=60
InactiveLimit=0
MinJobAge=3600
$(
    for name in $(node_names); do
      echo "NodeName=$name NodeHostname=localhost NodeAddr=127.0.0.1 Port=$((++port)) CPUs=$cores RealMemory=$memory State=UNKNOWN"
    done
  )
PartitionName=main Nodes=n[1-$nodes] Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=n[1-$nodes] MaxTime=INFINITE State=UP PriorityTier=10
TEXT
}
