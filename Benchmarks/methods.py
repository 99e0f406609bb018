"""Races every method of embedfuse against mergekit-pytorch on the same recipe, and prints the result as Markdown.

use: methods.py --embedfuse PATH --mergekit PATH --data DIR [--rounds 3] [--only ties,sce]

DIR holds a base and four fine-tunes, as run.py generates them (bert-f32/base ... ft4). For each method both programs run
the same recipe alternately, a round after the other, on inputs in the page cache; each writes new files that are not
flushed. Reported are median seconds, the median over the rounds of the ratio, and the peak resident memory. Methods that
mergekit hasn't run alone.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# method: (models, base wanted, parameters of each model, parameters of all, known to mergekit)
METHODS = {
    "linear": (4, False, "weight: 1.0", "", True),
    "task_arithmetic": (4, True, "weight: 0.5", "", True),
    "ties": (4, True, "weight: 1.0, density: 0.5", "", True),
    "dare_linear": (4, True, "weight: 0.5, density: 0.5", "", True),
    "dare_ties": (4, True, "weight: 0.5, density: 0.5", "", True),
    "della": (4, True, "weight: 0.5, density: 0.5", "", True),
    "della_linear": (4, True, "weight: 0.5, density: 0.5", "", True),
    "breadcrumbs": (4, True, "weight: 0.5, density: 0.5", "", True),
    "breadcrumbs_ties": (4, True, "weight: 0.5, density: 0.5", "", True),
    "sce": (4, True, "", "select_topk: 0.5", True),
    "ram": (4, True, "", "", True),
    "ramplus_tl": (4, True, "", "", True),
    "model_stock": (4, True, "", "", True),
    "multislerp": (4, False, "weight: 1.0", "", True),
    "karcher": (4, False, "", "", True),
    "slerp": (1, True, "", "t: 0.3", True),
    "nuslerp": (2, False, "weight: 1.0", "", True),
    "nearswap": (1, True, "", "t: 0.001", True),
    "arcee_fusion": (1, True, "", "", True),
    "passthrough": (1, False, "", "", True),
    "delta-guided": (4, True, "", "", False),
    "dare": (4, True, "density: 0.5", "", False),
    "magmax": (4, True, "", "", False),
    "consensus": (4, True, "", "", False),
    "emr-unified": (4, True, "", "", False),
    "pcb": (4, True, "", "", False),
    "widen": (4, True, "", "", False),
    "lines": (4, True, "", "", False),
    "geometric-median": (4, False, "", "", False),
    "median": (4, False, "", "", False),
    "trimmed-mean": (4, False, "", "", False),
}


def recipe(name, data):
    count, with_base, own, shared, known = METHODS[name]
    file = lambda model: data / model / "model.safetensors"
    lines = [f"{'merge_method' if known else 'method'}: {name}"]
    if with_base:
        lines.append(f"base_model: {file('base')}")
    lines.append("models:")
    # mergekit's methods for two want the base among the models.
    models = (["base"] if with_base and count == 1 else []) + [f"ft{k}" for k in range(1, count + 1)]
    for model in models:
        lines.append(f"- model: {file(model)}")
        if own:
            lines.append(f"  parameters: {{{own}}}")
    if shared:
        lines.append(f"parameters: {{{shared}}}")
    return "\n".join(lines) + "\n"


def run(command):
    """Seconds and peak resident megabytes, or the last line of what went wrong."""
    subprocess.run(["sync"], check=True)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(map(str, command))}:\n{error.decode()[-2000:]}")
    return seconds, usage.ru_maxrss / 1024 * 1.024


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--embedfuse", type=Path, required=True)
    parser.add_argument("--mergekit", type=Path, required=True, help="mergekit-pytorch of version 0.1.5")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="methods, separated by commas")
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    names = arguments.only.split(",") if arguments.only else list(METHODS)
    work = Path(tempfile.mkdtemp(dir=data))
    print("| method | embedfuse, s | mergekit, s | times faster | embedfuse, MB | mergekit, MB |")
    print("|---|--:|--:|--:|--:|--:|", flush=True)
    try:
        for name in names:
            path = work / "recipe.yaml"
            path.write_text(recipe(name, data))
            ours, theirs = [], []
            for _ in range(arguments.rounds):
                for output in (work / "ours.safetensors", work / "theirs"):
                    shutil.rmtree(output, ignore_errors=True)
                    output.unlink(missing_ok=True)
                ours.append(run([arguments.embedfuse, "merge", path, "-o", work / "ours.safetensors", "--no-sync", "-q"]))
                if METHODS[name][4]:
                    theirs.append(run([arguments.mergekit, path, work / "theirs"]))
            median = lambda values: statistics.median(values)
            row = [f"`{name}`", f"{median([s for s, _ in ours]):.2f}"]
            if theirs:
                ratio = median([b[0] / a[0] for a, b in zip(ours, theirs)])
                row += [f"{median([s for s, _ in theirs]):.1f}", f"{ratio:.0f}"]
            else:
                row += ["-", "-"]
            row.append(f"{max(m for _, m in ours):.0f}")
            row.append(f"{max(m for _, m in theirs):.0f}" if theirs else "-")
            print("| " + " | ".join(row) + " |", flush=True)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
