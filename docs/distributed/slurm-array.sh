#!/bin/sh
# One part of a fusion for each task of an array: sbatch slurm-array.sh
# A part that died is run again: sbatch --array=3 slurm-array.sh
#SBATCH --job-name=fuse
#SBATCH --array=1-4
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --output=fuse-%A-%a.log
#SBATCH --requeue
set -eu
# The number of parts is written down: SLURM_ARRAY_TASK_COUNT is another when a single task is run again.
exec embedfuse merge recipe.yaml -o fused --max-shard-size 400MB --part SLURM_ARRAY_TASK_ID/4 \
  --threads "${SLURM_CPUS_PER_TASK:-1}" --resume
