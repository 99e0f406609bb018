#!/usr/bin/env python3
"""Fuses in parts on a Ray cluster whose nodes share a file system.

use: ray_parts.py [--parts N] OUT -- ARGUMENTS OF embedfuse merge
  for example: ray_parts.py --parts 4 fused -- recipe.yaml --max-shard-size 400MB

Each part is a Ray task. One whose process dies, or whose node does, is tried again and continues at its finished files.
"""

import argparse
import os
import subprocess
import time

import ray


@ray.remote(num_cpus=1, max_retries=3, retry_exceptions=[subprocess.CalledProcessError])
def make_part(part, parts, arguments, folder):
    start = time.monotonic()
    command = ["embedfuse", "merge", *arguments, "--part", f"{part}/{parts}", "--threads", "1", "--resume"]
    # The inputs' paths are meant as they stand in the folder where this was started.
    lines = subprocess.run(command, cwd=folder, check=True, stderr=subprocess.PIPE, text=True).stderr
    return part, time.monotonic() - start, lines.strip()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("out")
    parser.add_argument("arguments", nargs="+")
    given = parser.parse_args()
    # Nothing about a fusion needs Ray's own store or dashboard.
    ray.init(include_dashboard=False, log_to_driver=False)
    arguments = [*given.arguments, "-o", given.out]
    tasks = [make_part.remote(i, given.parts, arguments, os.getcwd()) for i in range(1, given.parts + 1)]
    while tasks:
        done, tasks = ray.wait(tasks)
        for part, seconds, lines in ray.get(done):
            print(f"part {part}/{given.parts}: {seconds:.1f} s in its last try\n  " + lines.replace("\n", "\n  "))
    subprocess.run(["embedfuse", "finalize", given.out], check=True)


if __name__ == "__main__":
    main()
