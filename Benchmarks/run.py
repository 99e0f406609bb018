"""Races embedfuse against other ways to average checkpoints, and prints the result as Markdown.

use: run.py --embedfuse PATH [--types f32,bf16] [--rounds 5] [--data DIR] [--torch PYTHON]

The data is a base and four fine-tunes in the shape of BERT-base (109.5 million parameters), generated once from fixed
seeds into .build-bench; --data takes what make_checkpoints.py has written instead. --torch names a Python with torch and
safetensors, and lets the two torch peers run too.

The contestants run alternately, a round after the other, each on inputs in the page cache, each writing a new file
to the same file system without flushing it; what the disk still has to do is finished before each start. Reported are
the median time, the least and the greatest, the median over the rounds of the ratio to the numpy peer, and the peak
resident memory (mapped file pages count, and no figure is below the 15 MB of this program, which starts them).
"""

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FINE_TUNES = 4
PEER = "numpy, memory-mapped, 4 threads"
# What must hold, as greatest ratio to the numpy peer on F32.
MARKS = {"soup to safetensors": 1.0, "soup to .h5": 2.0}


# The checkpoints


def bert_shapes():
    hidden, inner, words, positions = 768, 3072, 30522, 512
    shapes = {
        "embeddings.word_embeddings.weight": (words, hidden),
        "embeddings.position_embeddings.weight": (positions, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    for layer in range(12):
        dense = {f"attention.self.{part}": (hidden, hidden) for part in ("query", "key", "value")}
        dense |= {"attention.output.dense": (hidden, hidden), "intermediate.dense": (inner, hidden),
                  "output.dense": (hidden, inner)}
        for name, shape in dense.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = shape
            shapes[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"encoder.layer.{layer}.{name}.weight"] = (hidden,)
            shapes[f"encoder.layer.{layer}.{name}.bias"] = (hidden,)
    return shapes | {"pooler.dense.weight": (hidden, hidden), "pooler.dense.bias": (hidden,)}


def generate(folder):
    """Writes the family in F32 and BF16, a tensor at a time.

    Base: normal, with the spread that all-MiniLM-L6-v2 has in such tensors. A fine-tune moves each tensor by a normal
    delta of 0.2 to 3 % of its spread, one weight in twelve and 60 % of the word embeddings' rows not at all.
    """
    import numpy as np

    def base_values(name, shape, random):
        values = random.standard_normal(shape, np.float32)
        if name.endswith("LayerNorm.weight"):
            return values * np.float32(0.1) + np.float32(0.85)
        values *= np.float32(math.exp(random.uniform(math.log(0.03), math.log(0.06))))
        return values * (1 + np.float32(0.05) * random.standard_normal(shape, np.float32))

    def fine_tuned(name, base, random):
        if name.endswith(".weight") and random.random() < 1 / 12:
            return base
        delta = random.standard_normal(base.shape, np.float32)
        if "word_embeddings" in name:
            delta *= random.random((base.shape[0], 1)) > 0.6
        spread = float(base.reshape(-1)[:1 << 20].std())
        return base + delta * np.float32(spread * math.exp(random.uniform(math.log(0.002), math.log(0.03))))

    def bfloat16(values):
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)

    shapes = bert_shapes()
    models = ["base"] + [f"ft{k}" for k in range(1, FINE_TUNES + 1)]
    files = {}
    for kind, size in (("F32", 4), ("BF16", 2)):
        header, offset = {"__metadata__": {"format": "pt"}}, 0
        for name, shape in shapes.items():
            end = offset + math.prod(shape) * size
            header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, end]}
            offset = end
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        for model in models:
            directory = folder / f"bert-{kind.lower()}" / model
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "config.json").write_text('{"model_type": "bert"}\n')
            files[kind, model] = open(directory / "model.safetensors", "wb")
            files[kind, model].write(len(text).to_bytes(8, "little") + text)
    for place, (name, shape) in enumerate(shapes.items()):
        base = base_values(name, shape, np.random.default_rng([place]))
        for number, model in enumerate(models):
            values = fine_tuned(name, base, np.random.default_rng([place, number])) if number else base
            files["F32", model].write(values.astype("<f4").data)
            files["BF16", model].write(bfloat16(values).data)
    for file in files.values():
        file.close()
    (folder / "complete").touch()


# The race


def contestants(arguments, kind, data, out):
    """Name -> (command, output)."""
    directories = [data / f"bert-{kind}" / f"ft{k}" for k in range(1, FINE_TUNES + 1)]
    weights = [directory / "model.safetensors" for directory in directories]
    base = data / f"bert-{kind}" / "base"

    def fuse(name, output, *options):
        command = [arguments.embedfuse, "merge", *options, *directories, "-o", output, "--no-sync", "--quiet"]
        return {name: (command, output)}

    def peer(name, python, script, output, *options):
        return {name: ([python, HERE / "peers" / script, *options, output, *weights], output)}

    guided = ["--base", base, "--granularity"]
    table = fuse("soup to safetensors", out / "soup.safetensors", "--method", "soup")
    for granularity in ("element", "row", "tensor"):
        table |= fuse(f"delta-guided, {granularity}", out / f"{granularity}.safetensors", *guided, granularity)
    table |= fuse("soup to .h5", out / "soup.h5", "--method", "soup")
    table |= fuse("delta-guided, element, to .h5", out / "element.h5", *guided, "element")
    table |= peer(PEER, sys.executable, "peer_numpy_mmap.py", out / "numpy.safetensors", "4")
    if arguments.torch:
        table |= peer("torch, all loaded", arguments.torch, "peer_torch_load_all.py", out / "torch.safetensors")
        table |= peer("torch, a tensor at a time", arguments.torch, "peer_torch_stream.py", out / "stream.safetensors")
    if kind == "f32" and arguments.floor:
        output = out / "floor.safetensors"
        table["floor: C, pread, nothing checked, 4 threads"] = (
            [arguments.floor, "pread", "4", output, *weights], output)
    table["cat of one input to a file"] = (["sh", "-c", 'cat "$1" >"$2"', "cat", weights[0], out / "cat"], out / "cat")
    return table


def measure(command, output):
    """Seconds, peak resident bytes and bytes written of one run."""
    output.unlink(missing_ok=True)
    os.sync()
    start = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"failed with {child.returncode}: {' '.join(map(str, command))}")
    return seconds, usage.ru_maxrss * 1024, output.stat().st_size


def race(table, rounds):
    """Name -> results of the rounds. A round before the first fills the page cache and doesn't count."""
    runs = {name: [] for name in table}
    for number in range(-1, rounds):
        for name, (command, output) in table.items():
            result = measure(command, output)
            if number >= 0:
                runs[name].append(result)
            output.unlink()
    return runs


def markdown(kind, runs):
    peer = [seconds for seconds, _, _ in runs[PEER]]
    lines = [f"### {kind.upper()}", "",
             "| | seconds, median | least to greatest | ratio to numpy | peak memory, MB | written, MB |",
             "|---|--:|--:|--:|--:|--:|"]
    for name, results in runs.items():
        seconds = [result[0] for result in results]
        lines.append(f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} to {max(seconds):.2f} "
                     f"| {ratio(seconds, peer):.2f} | {max(result[1] for result in results) / 1e6:.0f} "
                     f"| {results[0][2] / 1e6:.1f} |")
    return "\n".join(lines) + "\n"


def ratio(seconds, peer):
    return statistics.median(own / other for own, other in zip(seconds, peer))


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return f"{model}, {os.cpu_count()} processors, Linux {platform.release()}"


def build_floor(work):
    """The floor's path, or None where no C compiler takes it."""
    compiler = shutil.which("clang") or shutil.which("cc")
    floor = work / "floor"
    command = [compiler, "-O3", HERE / "peers" / "floor_average.c", "-o", floor, "-lpthread"]
    return floor if compiler and subprocess.run(command).returncode == 0 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--embedfuse", default=".build/release/embedfuse")
    parser.add_argument("--types", default="f32,bf16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--torch")
    parser.add_argument("--generate", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.generate:
        return generate(arguments.generate)

    work = Path(".build-bench")
    out = work / "out"
    out.mkdir(parents=True, exist_ok=True)
    data = arguments.data or work
    if not arguments.data and not (work / "complete").exists():
        print("generating checkpoints ...", file=sys.stderr)
        # In a process of its own: a child's peak memory counts from its parent's.
        subprocess.run([sys.executable, __file__, "--generate", work], check=True)
    arguments.embedfuse = os.path.abspath(arguments.embedfuse)
    arguments.floor = build_floor(work)

    print(f"{machine()}; {FINE_TUNES} fine-tunes of BERT-base (109.5 M parameters), {arguments.rounds} rounds.\n")
    for kind in arguments.types.split(","):
        runs = race(contestants(arguments, kind, data, out), arguments.rounds)
        print(markdown(kind, runs), flush=True)
        if kind == "f32":
            peer = [result[0] for result in runs[PEER]]
            for name, most in MARKS.items():
                found = ratio([result[0] for result in runs[name]], peer)
                print(f"- mark: {name} at most {most:.1f} times numpy: {found:.2f}, "
                      f"{'holds' if found <= most else 'MISSED'}")
            print()


if __name__ == "__main__":
    main()
