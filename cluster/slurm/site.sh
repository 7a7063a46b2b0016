# shellcheck shell=bash disable=SC2034
# Sourced by `submit` and by every job script here: what differs from site to site. This is the only file to change; or
# copy it and name the copy in CHORALE_SITE. What is commented out shows the form.

# Where jobs go and who pays; read by sbatch (`submit` passes them on). Options on the command line win.
#export SBATCH_PARTITION=gpu
#export SBATCH_ACCOUNT=my-project

# The program, and what it is started through: an absolute path, or one below the directory jobs are submitted from.
chorale=(build/release/bin/chorale)
#chorale=(apptainer exec --nv chorale.sif chorale)

# Run at the start of every job, on its first node: everything the program needs to be found and to run.
site_environment() {
  :
  #module purge
  #module load gcc/12 openmpi/4.1 hdf5 cuda/13
  # Which network Open MPI and NCCL use for sockets, where they guess wrong (`ip -brief address` lists the names). Leave
  # other variables of NCCL alone: it chooses best by itself, and what matters for results is in the recipe.
  #export OMPI_MCA_btl_tcp_if_include=ib0 OMPI_MCA_oob_tcp_if_include=ib0 NCCL_SOCKET_IFNAME=ib0
}
