#!/bin/sh
# Submits the array, and the job that puts its parts together when all of them have succeeded.
set -eu
parts=$(sbatch --parsable slurm-array.sh)
sbatch --job-name=finalize --dependency="afterok:$parts" --kill-on-invalid-dep=yes --cpus-per-task=2 --mem=2G \
  --output=finalize-%j.log --wrap 'embedfuse finalize fused'
