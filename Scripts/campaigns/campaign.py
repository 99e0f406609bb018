"""What the campaigns share: checkpoints to fuse, runs of the command, and digests of what stands on disk."""

import array
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

SETTINGS = ["--threads", "4"]
MERGE = ["merge", "--base", "base", "first", "second", "--quiet"] + SETTINGS
# Makes what is replaced.
OTHER = ["merge", "--base", "base", "first", "--method", "soup", "--quiet", "--no-sync"]
RECIPE = """
method: delta-guided
base: base
models: [first, second]
outputs:
  - path: one.safetensors
  - path: two.h5
    method: task-arithmetic
  - path: three
    method: ties
    parameters: {density: 0.5}
"""

# What is run, and the outputs that it gives.
KINDS = {
    "directory": (MERGE + ["-o", "out"], ["out"]),
    "sharded directory": (MERGE + ["-o", "out", "--max-shard-size", "2MB"], ["out"]),
    "sharded directory, --resume": (MERGE + ["-o", "out", "--max-shard-size", "2MB", "--resume"], ["out"]),
    "safetensors": (MERGE + ["-o", "out.safetensors"], ["out.safetensors"]),
    "hdf5": (MERGE + ["-o", "out.h5"], ["out.h5"]),
    "hdf5 relative to the base": (MERGE + ["-o", "out.h5", "--relative-to", "base"], ["out.h5"]),
    "npz": (MERGE + ["-o", "out.npz"], ["out.npz"]),
    "gguf": (MERGE + ["-o", "out.gguf"], ["out.gguf"]),
    "gguf, converted": (["convert", "first", "-o", "out.gguf", "--quantize", "q8_0", "--quiet"], ["out.gguf"]),
    "hdf5, converted": (["convert", "first", "-o", "out.h5", "--quiet"], ["out.h5"]),
    "three outputs": (["merge", "recipe.yaml", "--quiet"], ["one.safetensors", "two.h5", "three"]),
    "directory replaced": (MERGE + ["-o", "out", "--force"], ["out"]),
    "safetensors replaced": (MERGE + ["-o", "out.safetensors", "--force"], ["out.safetensors"]),
    "hdf5 replaced": (MERGE + ["-o", "out.h5", "--force"], ["out.h5"]),
}
VERIFIED = ("out", "out.safetensors", "out.h5", "out.npz", "one.safetensors", "two.h5", "three")


class Failure(Exception):
    """A promise that did not hold."""


def require(condition, text):
    if not condition:
        raise Failure(text)


def write_safetensors(path, tensors):
    """tensors: (name, shape, bytes of F32)."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, data in tensors:
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors:
            file.write(data)


def make_family(folder, megabytes, seed=1):
    """A base and two models fine-tuned from it, as directories with a configuration and a tokenizer."""
    generator = random.Random(seed)
    values = array.array("f", (generator.gauss(0, 0.05) for _ in range(1 << 16)))
    moves = array.array("f", (generator.gauss(0, 0.001) for _ in range(1 << 16)))
    rows = 16 * megabytes
    shapes = [("embeddings.word_embeddings.weight", [rows * 16, 256])]
    for layer in range(4):
        for name in ["attention.self.query", "attention.output.dense", "intermediate.dense"]:
            shapes.append((f"encoder.layer.{layer}.{name}.weight", [rows * 4, 256]))
            shapes.append((f"encoder.layer.{layer}.{name}.bias", [256]))
    for model, name in enumerate(["base", "first", "second"]):
        os.makedirs(f"{folder}/{name}")
        tensors = []
        for place, (tensor, shape) in enumerate(shapes):
            count = shape[0] * (shape[1] if len(shape) > 1 else 1)
            data = array.array("f")
            block = 0
            while len(data) < count:
                shift = (place * 911 + block * 313) % (1 << 16)
                part = values[shift:] + values[:shift]
                if model:
                    turn = (place * 577 + block * 131 + model * 7919) % (1 << 16)
                    delta = moves[turn:] + moves[:turn]
                    # Only some blocks move, so that the family is made quickly.
                    if block % 3 != 2:
                        part = array.array("f", map(float.__add__, part, delta))
                data.extend(part[: count - len(data)])
                block += 1
            tensors.append((tensor, shape, data.tobytes()))
        write_safetensors(f"{folder}/{name}/model.safetensors", tensors)
        with open(f"{folder}/{name}/config.json", "w") as file:
            json.dump({"model_type": "bert", "hidden_size": 256, "torch_dtype": "float32"}, file)
        with open(f"{folder}/{name}/vocab.txt", "w") as file:
            file.write("".join(f"token{i}\n" for i in range(1000)))
        # A folder within the folder.
        os.mkdir(f"{folder}/{name}/1_Pooling")
        with open(f"{folder}/{name}/1_Pooling/config.json", "w") as file:
            json.dump({"word_embedding_dimension": 256, "pooling_mode_mean_tokens": True}, file)
        with open(f"{folder}/{name}/modules.json", "w") as file:
            json.dump([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                       {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}], file)


def digest(path):
    """The digest of a file, or of a directory with all names and bytes in it; None if nothing is there."""
    if not os.path.lexists(path):
        return None
    state = hashlib.blake2b(digest_size=16)
    if os.path.isdir(path):
        for root, folders, files in os.walk(path):
            folders.sort()
            for name in sorted(files):
                full = os.path.join(root, name)
                state.update(os.path.relpath(full, path).encode() + b"\0" + digest(full).encode())
        return state.hexdigest()
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            state.update(data)
    return state.hexdigest()


def leftovers(folder):
    """What runs have left beside their outputs."""
    return [name for name in os.listdir(folder) if ".embedfuse-" in name or name.endswith(".parts")]


def remove(path):
    if os.path.islink(path) or os.path.isfile(path):
        os.remove(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)


def compile_library(work, name):
    """A library for LD_PRELOAD, from the C file of that name beside this one."""
    library = work.path(f"{name}.so")
    source = os.path.join(os.path.dirname(os.path.realpath(__file__)), f"{name}.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


class Outcome:
    def __init__(self, code, error, seconds):
        self.code, self.error, self.seconds = code, error, seconds


class Work:
    """A folder with a family of checkpoints, and the command."""

    def __init__(self, embedfuse, megabytes):
        self.embedfuse = os.path.realpath(embedfuse)
        self.folder = tempfile.mkdtemp(prefix="embedfuse-campaign-")
        make_family(self.folder, megabytes)
        self.inputs = ["base", "first", "second"]
        self.before = self.input_digests()

    def close(self):
        os.system(f"chmod -R u+rwx '{self.folder}'")
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def input_digests(self):
        return [digest(self.path(name)) for name in self.inputs]

    def write_recipe(self):
        with open(self.path("recipe.yaml"), "w") as file:
            file.write(RECIPE)

    def states(self, outputs):
        return [digest(self.path(name)) for name in outputs]

    def clear(self, outputs):
        for name in outputs + leftovers(self.folder):
            remove(self.path(name))

    def start(self, arguments, environment=None):
        return subprocess.Popen(
            [self.embedfuse] + arguments, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})})

    def run(self, arguments, environment=None, timeout=120):
        start = time.monotonic()
        process = self.start(arguments, environment)
        try:
            _, error = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failure(f"hangs: {' '.join(arguments)}") from None
        return Outcome(process.returncode, error.decode(errors="replace"), time.monotonic() - start)

    def succeed(self, arguments, environment=None):
        outcome = self.run(arguments, environment)
        require(outcome.code == 0, f"{' '.join(arguments)}: code {outcome.code}: {outcome.error}")
        return outcome


def main(campaign, description):
    """Runs a campaign with the command that the arguments name; ends with code 1 at the first promise broken."""
    arguments = sys.argv[1:]
    if not arguments:
        print(f"use: {sys.argv[0]} EMBEDFUSE [COUNT] [SEED]\n{description}", file=sys.stderr)
        sys.exit(64)
    try:
        campaign(arguments[0], *[int(value) for value in arguments[1:]])
    except Failure as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        sys.exit(1)
