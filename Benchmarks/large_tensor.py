"""Merges one tensor of 1.5 GB by every method, and prints processor seconds and peak memory as Markdown.

use: large_tensor.py --embedfuse PATH [--data DIR] [--memory 256M] [--only ties,sce]

An embedding matrix of 250,000 rows by 1,536 columns in F32, of a base and two fine-tunes in which a third of the rows did not
move, is made once in DIR (4.6 GB; needs numpy). The limit is what /usr/bin/time would say: the greatest resident size.
"""

import json
import os
import struct
import subprocess
import sys

from race import options

ROWS, COLUMNS, STEP = 250_000, 1_536, 5_000

# method: (fine-tunes, settings)
METHODS = {name: (2, []) for name in (
    "delta-guided", "soup", "task-arithmetic", "ram", "ramplus-tl", "magmax", "consensus", "emr-unified", "pcb", "widen",
    "lines", "model-stock", "multislerp", "karcher", "geometric-median", "median", "trimmed-mean")}
METHODS |= {name: (2, ["density=0.5"]) for name in (
    "ties", "dare-linear", "dare-ties", "della", "della-linear", "breadcrumbs", "breadcrumbs-ties")}
METHODS |= {"sce": (2, ["select_topk=0.5"]), "slerp": (1, ["t=0.3"]), "nearswap": (1, ["t=0.001"]), "arcee-fusion": (1, [])}


def generate(folder):
    """Writes the three checkpoints, a band of rows of each at a time."""
    import numpy
    folder.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"embeddings.word_embeddings.weight": {
        "dtype": "F32", "shape": [ROWS, COLUMNS], "data_offsets": [0, 4 * ROWS * COLUMNS]}}).encode()
    header += b" " * (-len(header) % 8)
    random = numpy.random.default_rng(1)
    files = [open(folder / f"{name}.safetensors", "wb") for name in ("base", "ft1", "ft2")]
    for file in files:
        file.write(struct.pack("<Q", len(header)) + header)
    for _ in range(0, ROWS, STEP):
        band = 0.05 * random.standard_normal((STEP, COLUMNS), dtype=numpy.float32)
        files[0].write(band.tobytes())
        for file in files[1:]:
            delta = 0.001 * random.standard_normal((STEP, COLUMNS), dtype=numpy.float32)
            delta[::3] = 0
            file.write((band + delta).tobytes())
    for file in files:
        file.close()
    (folder / "complete").touch()


def measure(command):
    """Processor seconds and peak resident megabytes."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(map(str, command))} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def main():
    parser = options(__doc__)
    parser.add_argument("--memory", default="256M")
    parser.add_argument("--only", help="methods, separated by commas")
    arguments = parser.parse_args()
    folder = arguments.data / "large-tensor"
    if not (folder / "complete").exists():
        generate(folder)
    out = folder / "out.safetensors"
    print("| method | processor seconds | peak memory, MB |\n|---|--:|--:|", flush=True)
    for name in arguments.only.split(",") if arguments.only else METHODS:
        count, settings = METHODS[name]
        seconds, memory = measure(
            [arguments.embedfuse, "merge", "--base", folder / "base.safetensors"]
            + [folder / f"ft{k}.safetensors" for k in range(1, count + 1)]
            + ["--method", name, "-o", out, "--memory", arguments.memory, "--no-sync", "--force", "-q"]
            + [word for setting in settings for word in ("--set", setting)])
        print(f"| `{name}` | {seconds:.1f} | {memory:.0f} |", flush=True)
    out.unlink()


if __name__ == "__main__":
    main()
