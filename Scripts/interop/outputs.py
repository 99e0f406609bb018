"""Reads what embedfuse writes with the libraries that other people read it with.

use: outputs.py EMBEDFUSE

For each element type, the golden family and a generated one, whose tensors fill several compressed chunks, are fused
to one safetensors file, to a sharded directory and to .h5. The safetensors library, numpy, h5py with hdf5plugin and
h5dump must read all of them, to the same bits.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
from safetensors import safe_open

INPUTS = Path("fixtures/golden/inputs")
WORK = Path(".build-interop")
# The type of the inputs, and the type asked for (None: the inputs' own).
CASES = [("f32", None), ("bf16", None), ("f16", None), ("f32", "bf16"), ("f32", "f16"), ("bf16", "f32"), ("f32", "f64")]
NUMPY_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "u1",
}

GENERATED_SHAPES = {"wide.weight": (700, 1030), "odd.weight": (1003, 7), "long.bias": (1_000_003,), "one": (), "none": (0, 4)}


def generate(kind, folder):
    """A base and three fine-tunes in one element type, seeded; returns their paths, the base first."""
    paths = []
    for seed in range(4):
        header, data = {}, b""
        for place, (name, shape) in enumerate(GENERATED_SHAPES.items()):
            values = np.random.default_rng([0, place]).normal(0, 0.05, shape).astype("<f4")
            if seed:
                values = values + np.random.default_rng([seed, place]).normal(0, 0.001, shape).astype("<f4")
            values = np.asarray(values)
            stored = (values.view("<u4") >> 16).astype("<u2") if kind == "bf16" else values.astype(NUMPY_TYPES[kind.upper()])
            header[name] = {"dtype": kind.upper(), "shape": list(shape),
                            "data_offsets": [len(data), len(data) + stored.nbytes]}
            data += stored.tobytes()
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        paths.append(folder / f"generated-{seed}.{kind}.safetensors")
        paths[-1].write_bytes(len(text).to_bytes(8, "little") + text + data)
    return paths


def raw_tensors(path):
    """The tensors of a safetensors file by its specification alone: name -> (type, array of the stored words)."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0, f"{path}: the tensors start at {8 + length}, which 8 does not divide"
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__")
    assert metadata["format"] == "pt", f"{path}: format {metadata}"
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        words = np.frombuffer(data[start:end], NUMPY_TYPES[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = (entry["dtype"], words)
    return tensors, metadata


def same_bits(first, second):
    return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()


def as_numbers(kind, words):
    """The values as numpy has them: BF16 as the F32 numbers with the same bits in front."""
    return (words.astype("<u4") << 16).view("<f4") if kind == "BF16" else words


def check_safetensors(path, tensors, metadata):
    """The safetensors library sees the same names, shapes, metadata and, in types that numpy has, bits."""
    with safe_open(path, "np") as file:
        assert set(file.keys()) == set(tensors), f"{path}: names differ"
        assert file.metadata() == metadata, f"{path}: metadata differ"
        for name, (kind, words) in tensors.items():
            piece = file.get_slice(name)
            assert piece.get_dtype() == kind and piece.get_shape() == list(words.shape), f"{path}: {name}"
            if kind != "BF16":
                assert same_bits(file.get_tensor(name).astype(words.dtype), words), f"{path}: {name}"


def check_shards(folder, tensors):
    """The index leads to every tensor, in shards that the library reads, and the bits are those of one file."""
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shards = sorted(set(index["weight_map"].values()))
    assert len(shards) > 2, f"{folder}: {len(shards)} shards"
    assert set(index["weight_map"]) == set(tensors), f"{folder}: the index names other tensors"
    total = 0
    for shard in shards:
        held, metadata = raw_tensors(folder / shard)
        check_safetensors(folder / shard, held, metadata)
        assert set(held) == {name for name, file in index["weight_map"].items() if file == shard}, shard
        for name, (kind, words) in held.items():
            assert kind == tensors[name][0] and same_bits(words, tensors[name][1]), f"{folder}: {name}"
            total += words.nbytes
    assert index["metadata"]["total_size"] == total, f"{folder}: total_size {index['metadata']} of {total}"
    return len(shards)


def check_hdf5(path, tensors):
    """h5py with hdf5plugin reads every dataset to the same bits; BF16 arrives as float32 numbers."""
    with h5py.File(path) as file:
        datasets = {}
        file.visititems(lambda name, item: datasets.update({name: item} if isinstance(item, h5py.Dataset) else {}))
        for name, (kind, words) in tensors.items():
            dataset = datasets[name]
            if kind == "BF16":
                assert dataset.dtype.itemsize == 4 or dataset.dtype == np.dtype("<f4"), f"{name}: {dataset.dtype}"
                assert dataset.id.get_type().get_size() == 2, f"{name}: stored in other than two bytes"
            values = dataset[()]
            numbers = as_numbers(kind, words)
            assert same_bits(np.asarray(values).astype(numbers.dtype), numbers), f"{path}: {name} differs"
        compressed = [d for n, d in datasets.items() if n in tensors and d.chunks]
        assert all("32015" in d._filters for d in compressed), f"{path}: other filters than Zstandard"
        assert all("shuffle" in d._filters for d in compressed if d.id.get_type().get_size() > 1), f"{path}: no shuffle"
        return len(compressed)


def check_h5dump(path, tensors):
    """h5dump lists the file and, with the plugin's path, decodes a compressed dataset."""
    if not shutil.which("h5dump"):
        return "h5dump not installed"
    environment = {**os.environ, "HDF5_PLUGIN_PATH": hdf5plugin.PLUGINS_PATH}
    listing = subprocess.run(["h5dump", "-H", path], env=environment, capture_output=True, text=True, check=True).stdout
    last_names = {name.split("/")[-1] for name in tensors}
    assert all(f'"{name}"' in listing for name in last_names), f"{path}: h5dump lists not all tensors"
    name = max(tensors, key=lambda name: tensors[name][1].nbytes)
    values = subprocess.run(
        ["h5dump", "-d", f"/{name}", "-y", "-w", "1", path], env=environment, capture_output=True, text=True)
    assert values.returncode == 0, f"{path}: h5dump can't decode {name}: {values.stderr}"
    assert values.stdout.count("\n") > tensors[name][1].size, f"{path}: h5dump printed too few values of {name}"
    return "h5dump decodes"


def run_case(embedfuse, family, inputs, target, shard_size):
    def merge(output, *options):
        command = [embedfuse, "merge", "--base", *inputs, "-o", output, "--quiet", "--force",
                   *(["--dtype", target] if target else []), *options]
        subprocess.run(command, check=True)
        return output

    source = inputs[0].name.split(".")[1]
    label = f"{family}-{source}" if target is None else f"{family}-{source}-to-{target}"
    one = merge(WORK / f"{label}.safetensors")
    tensors, metadata = raw_tensors(one)
    kinds = {kind for kind, _ in tensors.values()}
    assert (target or source).upper() in kinds, f"{label}: types {kinds}"
    check_safetensors(one, tensors, metadata)
    shards = check_shards(merge(WORK / label, "--max-shard-size", shard_size), tensors)
    h5 = merge(WORK / f"{label}.h5")
    compressed = check_hdf5(h5, tensors)
    check_hdf5(merge(WORK / f"{label}-level3.h5", "--compression-level", "3"), tensors)
    print(f"{label}: {len(tensors)} tensors bit-equal in one file, {shards} shards and .h5 "
          f"({compressed} compressed); {check_h5dump(h5, tensors)}")
    return compressed


def main():
    embedfuse = os.path.abspath(sys.argv[1])
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    print(f"h5py {h5py.__version__} (HDF5 {h5py.version.hdf5_version}), hdf5plugin {hdf5plugin.version}, "
          f"numpy {np.__version__}")
    for source, target in CASES:
        golden = [INPUTS / f"{name}.{source}.safetensors" for name in ("base", "ft1", "ft2", "ft3")]
        run_case(embedfuse, "golden", golden, target, "4K")
        compressed = run_case(embedfuse, "generated", generate(source, WORK), target, "1M")
        assert compressed >= 2, f"only {compressed} tensors were compressed"


if __name__ == "__main__":
    main()
