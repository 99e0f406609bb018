"""Races every method of embedfuse against mergekit-pytorch on the same recipe, and prints the result as Markdown.

use: methods.py --embedfuse PATH [--data DIR] [--rounds 3] [--only ties,sce] [--quick]

The inputs are families.py's base and four fine-tunes, bert-f32; mergekit-pytorch is the one beside the Python that runs this. For
each method both programs run the same recipe alternately, a round after the other, on inputs in the page cache; each
writes new files that are not flushed. Reported are median seconds, the median over the rounds of the ratio, and the peak
resident memory. Methods that mergekit hasn't run alone. --quick leaves mergekit out.
"""

import shutil
import sys
from pathlib import Path

from race import generate, median, memory, options, race, ratio, warm

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


def row(name, runs):
    cells = [f"`{name}`", f"{median(runs['embedfuse']):.2f}"]
    theirs = runs.get("mergekit")
    cells += [f"{median(theirs):.1f}", f"{ratio(theirs, runs['embedfuse']):.0f}"] if theirs else ["-", "-"]
    cells += [f"{memory(runs['embedfuse']):.0f}", f"{memory(theirs):.0f}" if theirs else "-"]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = options(__doc__, rounds=3)
    parser.add_argument("--only", help="methods, separated by commas")
    arguments = parser.parse_args()
    generate(arguments.data, ["bert-f32"])
    data = arguments.data / "bert-f32"
    out = arguments.data / "out"
    out.mkdir(exist_ok=True)
    warm(data)
    mergekit = Path(sys.executable).parent / "mergekit-pytorch"
    has_mergekit = mergekit.exists() and not arguments.quick
    print("| method | embedfuse, s | mergekit, s | times faster | embedfuse, MB | mergekit, MB |")
    print("|---|--:|--:|--:|--:|--:|", flush=True)
    for name in arguments.only.split(",") if arguments.only else METHODS:
        path, ours = out / "recipe.yaml", out / "ours.safetensors"
        path.write_text(recipe(name, data))
        contestants = {"embedfuse": ([arguments.embedfuse, "merge", path, "-o", ours, "--no-sync", "-q"], ours)}
        if has_mergekit and METHODS[name][4]:
            contestants["mergekit"] = ([mergekit, path, out / "theirs"], out / "theirs")
        try:
            runs = race(contestants, arguments.rounds, warms_up=False)
        except SystemExit as failure:
            # Some of mergekit's methods give up on tensors that are all zero.
            if "mergekit" not in contestants:
                raise
            print(f"{name}: mergekit {failure}", file=sys.stderr)
            del contestants["mergekit"]
            runs = race(contestants, arguments.rounds, warms_up=False)
        print(row(name, runs), flush=True)
    shutil.rmtree(out)
    if not has_mergekit:
        print("\nmergekit is left out: " + ("--quick." if arguments.quick else "no mergekit-pytorch beside this Python."))


if __name__ == "__main__":
    main()
