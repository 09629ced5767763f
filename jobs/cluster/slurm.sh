#!/usr/bin/env bash
# A Ray cluster for one command on the nodes of a Slurm job: a head on the first, a worker on each other one.
#   sbatch --nodes=3 --time=24:00:00 jobs/cluster/slurm.sh favchat pipeline nano data.source.path=/data/videos pipeline.out=/data/all
# One Ray process a node with all that Slurm gives there. The job's folder (FAVCHAT_RAY, by default one in the directory
# that sbatch was called from) and all paths of the command must be seen by every node. The status is the command's own.
#SBATCH --job-name=favchat
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --open-mode=append
#SBATCH --requeue
set -euo pipefail
[ $# -gt 0 ] || { echo "give the command: sbatch slurm.sh favchat ..." >&2; exit 2; }

# Whoever reaches Ray's ports runs code: a token that only this job's owner can read.
folder=${FAVCHAT_RAY:-$SLURM_SUBMIT_DIR/.favchat-ray-$SLURM_JOB_ID}
(umask 077 && mkdir -p "$folder" && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$folder/token")
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$folder/token RAY_USAGE_STATS_ENABLED=0
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]} port=${FAVCHAT_RAY_PORT:-6379}
cpus=${SLURM_CPUS_ON_NODE:-1} gpus=${SLURM_GPUS_ON_NODE:-0}
step=(srun --nodes=1 --ntasks=1 --overlap)

address=$("${step[@]}" --nodelist="$head" hostname -I | awk '{print $1}')
echo "head: $head ($address), workers: ${nodes[*]:1}"
"${step[@]}" --nodelist="$head" ray start --head --block --node-ip-address="$address" --port="$port" --dashboard-host=127.0.0.1 \
    --num-cpus="$cpus" --num-gpus="$gpus" &
export RAY_ADDRESS=$address:$port
for _ in $(seq 60); do
    "${step[@]}" --nodelist="$head" ray status > /dev/null 2>&1 && break
    sleep 2
done
for node in "${nodes[@]:1}"; do
    "${step[@]}" --nodelist="$node" ray start --block --address="$RAY_ADDRESS" --num-cpus="$cpus" --num-gpus="$gpus" &
done
# Ray places what fits on the nodes that are there, and more when the others come.
"${step[@]}" --nodelist="$head" "$@"
