#!/bin/bash
# Tried on SLURM 22.05: one node, three shards of six small slides.
#
# One run over a folder of slides by a job array, a shard for each of its jobs:
#
#   sbatch --array=1-20 workflows/slurm_array.sh /share/slides /share/results --species mouse
#
# A job that was killed is submitted again with its number alone and how many there are of all: it goes on where it was.
#
#   SHARDS=20 sbatch --array=7 workflows/slurm_array.sh /share/slides /share/results --species mouse
#
# The shard that completes the list writes the table and the summary.
#SBATCH --job-name=glomseg
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=12:00:00
#SBATCH --output=glomseg-%A-%a.log
set -euo pipefail
slides=$1 results=$2
shift 2
count=${SHARDS:-$SLURM_ARRAY_TASK_COUNT}  # SLURM counts the jobs of this call alone
if [ -z "${SHARDS:-}" ] && [ "$SLURM_ARRAY_TASK_MIN-$SLURM_ARRAY_TASK_MAX" != "1-$count" ]; then
    echo "--array does not count from 1 without gaps: say how many shards there are of all with SHARDS=" >&2
    exit 2
fi
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
exec "${GLOMSEG:-glomseg}" segment "$slides" --output "$results" --quiet \
    --shard "$SLURM_ARRAY_TASK_ID/$count" "$@"
