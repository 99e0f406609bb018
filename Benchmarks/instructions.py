"""Counts the instructions that each kernel takes for one call, with valgrind, and holds them to thresholds in git.

use: instructions.py KERNELS [--update]

KERNELS is the built program, which runs every kernel between two marks, on every instruction set that valgrind knows (it
has no AVX-512). A count that is more than 3 % above its threshold in instructions.json fails; one that is as much below
is mentioned, so that the threshold can be lowered with --update, which writes down all counts as they are. Other
compilers and libraries give other counts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

THRESHOLDS = Path(__file__).resolve().parent / "instructions.json"
SETS = ("baseline", "v3")
TOLERANCE = 0.03


def counted(program, instruction_set):
    """Kernel -> instructions. Callgrind writes a file at every mark: those of even number hold the kernels."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", "--dump-before=benchmark_mark",
                   program, "--count"]
        run = subprocess.run(command, env=os.environ | {"EMBEDFUSE_KERNELS": instruction_set}, capture_output=True, text=True)
        if run.returncode:
            sys.exit(run.stdout + run.stderr)
        return {name: total(Path(folder) / f"out.{2 * number}") for number, name in enumerate(run.stdout.splitlines(), 1)}


def total(path):
    return int(next(line for line in path.read_text().splitlines() if line.startswith("totals:")).split()[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--update", action="store_true", help="write the counts down as the new thresholds")
    arguments = parser.parse_args()
    with ThreadPoolExecutor() as pool:
        found = dict(zip(SETS, pool.map(lambda name: counted(arguments.program, name), SETS)))
    kernels = list(found[SETS[0]])
    counts = {kernel: {name: found[name][kernel] for name in SETS} for kernel in kernels}
    if arguments.update:
        rows = ",\n".join(f"  {json.dumps(kernel)}: {json.dumps(counts[kernel])}" for kernel in kernels)
        THRESHOLDS.write_text("{\n" + rows + "\n}\n")
        return
    thresholds = json.loads(THRESHOLDS.read_text())
    failed = False
    for kernel in kernels:
        for name, count in counts[kernel].items():
            threshold = thresholds.get(kernel, {}).get(name)
            if threshold is None:
                print(f"{kernel}, {name}: {count} instructions, no threshold: add it with --update")
                failed = True
            elif count > threshold * (1 + TOLERANCE):
                print(f"{kernel}, {name}: {count} instructions, {count / threshold - 1:.1%} above the threshold {threshold}")
                failed = True
            elif count < threshold * (1 - TOLERANCE):
                print(f"{kernel}, {name}: {count} instructions, {1 - count / threshold:.1%} below the threshold {threshold}")
    for kernel in thresholds.keys() - counts.keys():
        print(f"{kernel}: has a threshold, but there is no such kernel")
        failed = True
    print(f"{len(kernels)} kernels, {'some above their thresholds' if failed else 'none above its threshold'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
