"""Races embedfuse against other ways to average checkpoints, and prints the result as Markdown.

use: families.py --embedfuse PATH [--data DIR] [--rounds 5] [--families NAME,NAME] [--quick]

The contestants run alternately, a round after the other, each on inputs in the page cache, each writing a new file to the
same file system. embedfuse runs with --no-sync, since the peers flush nothing, and once as it is, against dd with
conv=fsync. Peers in Python run with the Python that runs this; those whose packages it lacks are left out and named.

The inputs are generated once (checkpoints.py, needs numpy) into DIR, .build-bench unless told otherwise. --quick takes two
rounds, the small families, and no peer that takes seconds.
"""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from checkpoints import FAMILIES, weight_files
from race import HERE, generate, machine, median, memory, options, race, ratio, spread

# The names by which contestants are compared.
SOUP, SOUP_H5 = "soup to safetensors", "soup to .h5"
FLUSHED = "soup to safetensors, flushed"
NUMPY, FLOOR, FLUSHED_DD = "numpy, memory-mapped, 4 threads", "floor: C, pread, 4 threads", "dd, conv=fsync"
FLOOR_32 = "floor, sums in binary32"
H5PY, MERGEKIT = "torch, h5py, hdf5plugin zstd-3, to .h5", "mergekit-pytorch 0.1.5, linear"
GUIDED = {granularity: f"delta-guided, {granularity}" for granularity in ("element", "row", "tensor")}

# What must hold for models of BERT's size and more: own time to the other's, at most; and the .h5's raw bytes to its size.
MARKS = [
    (SOUP, FLOOR, 1.4), (SOUP, NUMPY, 0.4), (GUIDED["row"], SOUP, 1.4), (GUIDED["element"], SOUP, 1.4),
    (GUIDED["tensor"], SOUP, 1.9), (SOUP_H5, SOUP, 1.6), (SOUP_H5, H5PY, 1 / 8), (SOUP, MERGEKIT, 1 / 20),
    (FLUSHED, FLUSHED_DD, 1.3),
]
SIZE_MARKS = {"F32": 1.21, "BF16": 1.48}
# No marks, but told as well.
RATIOS = [(FLOOR, FLOOR_32)]


class Contestants:
    """The commands that race on a family, and what is left out."""

    def __init__(self, arguments, family, out):
        self.embedfuse, self.quick, self.out = arguments.embedfuse, arguments.quick, out
        self.directory, self.family = arguments.data / family, FAMILIES[family]
        self.models = [self.directory / f"ft{k}" for k in range(1, min(self.family.fine_tunes, 4) + 1)]
        self.files = weight_files(self.family)
        self.commands, self.missing = {}, []
        self.add_own()
        self.add_peers(arguments.floors)

    def add_own(self):
        self.own(SOUP, "soup.safetensors", "--method", "soup", "--no-sync")
        for granularity, name in GUIDED.items():
            self.own(name, f"{granularity}.safetensors", "--base", self.directory / "base", "--granularity", granularity,
                     "--no-sync")
        self.own(SOUP_H5, "soup.h5", "--method", "soup", "--no-sync")
        self.own("delta-guided, element, to .h5", "element.h5", "--base", self.directory / "base", "--no-sync")
        self.own(FLUSHED, "flushed.safetensors", "--method", "soup")

    def own(self, name, output, *options):
        command = [self.embedfuse, "merge", *options, *self.models, "-o", self.out / output, "--quiet"]
        self.commands[name] = (command, self.out / output)

    def add_peers(self, floors):
        weights = [model / file for file in self.files for model in self.models]
        if self.family.shards == 1 and self.family.element_type == "F32" and len(self.models) == 4:
            for name, (floor, way) in floors.items():
                self.add(name, [floor, way, "4", self.out / "floor", *weights], "floor")
        self.python(NUMPY, ["numpy"], "peer_numpy_mmap.py", "numpy", "4", *self.shards("numpy"))
        self.python("torch, a tensor at a time", ["torch", "safetensors"], "peer_torch_stream.py", "stream",
                    *self.shards("stream"))
        if self.family.shards == 1:
            self.add_slow_peers(weights)
        first = [self.models[0] / file for file in self.files]
        output = self.out / "copy"
        self.add("cat of one input", ["sh", "-c", 'out=$1; shift; cat "$@" >"$out"', "cat", output, *first], "copy")
        if self.family.shards == 1:
            dd = ["dd", f"if={first[0]}", f"of={output}", "bs=1M", "status=none"]
            self.add("dd of one input", dd, "copy")
            self.add(FLUSHED_DD, dd + ["conv=fsync"], "copy")
            if shutil.which("zstd"):
                self.add("zstd -3 -T0 of one input", ["zstd", "-3", "-T0", "-q", "-f", first[0], "-o", output], "copy")
            else:
                self.missing.append("zstd (no such program)")

    def add_slow_peers(self, weights):
        if self.quick:
            return self.missing.append("mergekit, SentenceTransformer.merge and h5py (--quick)")
        if self.family.is_sentence_transformer:
            return self.python("SentenceTransformer.merge", ["sentence_transformers", "mergekit"],
                               "peer_sentence_transformer.py", "st", self.out / "st", *self.models)
        self.python(H5PY, ["torch", "h5py", "hdf5plugin"], "peer_h5py_zstd.py", "h5py.h5", "3", self.out / "h5py.h5",
                    *weights)
        if self.family.element_type == "F32":
            self.add_mergekit(weights)

    def add_mergekit(self, weights):
        mergekit = Path(sys.executable).parent / "mergekit-pytorch"
        if mergekit.exists():
            recipe = self.out / "linear.yaml"
            lines = [f"- {{model: {file}, parameters: {{weight: 1.0}}}}" for file in weights]
            recipe.write_text("\n".join(["merge_method: linear", "models:", *lines]) + "\n")
            self.add(MERGEKIT, [mergekit, recipe, self.out / "mergekit"], "mergekit")
        else:
            self.missing.append(f"{MERGEKIT} (not beside {Path(sys.executable).name})")

    def shards(self, output):
        """Output and inputs of each shard; outputs that are one file stand for themselves."""
        groups = []
        for file in self.files:
            target = self.out / output if self.family.shards == 1 else self.out / output / file
            groups += [target, *(model / file for model in self.models), "--"]
        return groups[:-1]

    def python(self, name, packages, script, output, *options):
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        if missing:
            self.missing.append(f"{name} (no {', '.join(missing)})")
        else:
            self.add(name, [sys.executable, HERE / "peers" / script, *options], output)

    def add(self, name, command, output):
        self.commands[name] = (command, self.out / output)


def report(family, contestants, runs):
    lines = [f"### {family}", "", "| | seconds, median | least to greatest | peak memory, MB | written, MB |",
             "|---|--:|--:|--:|--:|"]
    lines += [f"| {name} | {median(results):.2f} | {spread(results)} | {memory(results):.0f} "
              f"| {results[0].written / 1e6:.1f} |" for name, results in runs.items()]
    lines += ["", "| time of | to that of | ratio | at most | |", "|---|---|--:|--:|---|"]
    for own, other, most in MARKS + [(*pair, None) for pair in RATIOS]:
        if own in runs and other in runs:
            found = ratio(runs[own], runs[other])
            has_mark = most is not None and not family.startswith("minilm")
            verdict = f"{most:.3g} | {'holds' if found <= most else '**missed**'}" if has_mark else "| "
            lines.append(f"| {own} | {other} | {found:.3f} | {verdict} |")
    smaller = runs[SOUP][0].written / runs[SOUP_H5][0].written
    lines += ["", f"The .h5 is {smaller:.3f} times smaller; at least {SIZE_MARKS[FAMILIES[family].element_type]} is wanted."]
    if contestants.missing:
        lines += ["", "Left out: " + "; ".join(contestants.missing) + "."]
    return "\n".join(lines) + "\n"


def build_floors(folder):
    """Name -> (program, how it reads); nothing where there is no C compiler."""
    compiler = shutil.which("clang") or shutil.which("cc")
    if not compiler:
        return {}
    for accumulator in ("double", "float"):
        command = [compiler, "-O3", f"-DACCUMULATOR={accumulator}", HERE / "peers" / "floor_average.c",
                   "-o", folder / f"floor-{accumulator}", "-lpthread"]
        subprocess.run(command, check=True)
    return {FLOOR: (folder / "floor-double", "pread"), FLOOR_32: (folder / "floor-float", "pread"),
            "floor through mappings": (folder / "floor-double", "mmap")}


def main():
    parser = options(__doc__, rounds=5)
    parser.add_argument("--families", default="bert-f32,bert-bf16,qwen-bf16,minilm-f32")
    arguments = parser.parse_args()
    families = arguments.families.split(",")
    if arguments.quick:
        arguments.rounds = 2
        families = [family for family in families if family != "qwen-bf16"]
    out = arguments.data / "out"
    out.mkdir(parents=True, exist_ok=True)
    generate(arguments.data, families)
    arguments.floors = build_floors(out)

    print(f"{machine()}; {arguments.rounds} rounds.\n", flush=True)
    for family in families:
        contestants = Contestants(arguments, family, out)
        print(report(family, contestants, race(contestants.commands, arguments.rounds)), flush=True)
    shutil.rmtree(out)


if __name__ == "__main__":
    main()
