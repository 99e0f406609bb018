"""Converts between formats: what embedfuse writes is read by each format's own library, and the other way round.

use: formats.py EMBEDFUSE

numpy, h5py with hdf5plugin, the gguf package of llama.cpp and the safetensors library must see the same bits as embedfuse.
Differences to a base are decoded as docs/formats.md describes, with numpy alone.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gguf
import h5py
import hdf5plugin
import numpy as np
from safetensors.numpy import save_file

WORK = Path(".build-interop/formats")
# The element types of safetensors that numpy has.
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
         "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1", "BF16": "<u2"}
SHAPES = {"matrix.weight": (700, 1030), "odd": (1003, 7), "cube": (5, 6, 64), "long": (300_003,), "one": (), "none": (0, 4)}


def values(kind, shape, seed):
    """Random bits of a type; numbers where not all bits are numbers to all libraries."""
    random = np.random.default_rng([seed, *kind.encode(), *shape])
    if kind == "BOOL":
        return np.asarray(random.integers(0, 2, shape)).astype("|b1")
    if kind in ("F64", "F32", "F16"):
        return np.asarray(random.normal(0, 0.05, shape)).astype(TYPES[kind])
    if kind == "BF16":
        return (np.asarray(random.normal(0, 0.05, shape)).astype("<f4").view("<u4") >> 16).astype("<u2")
    info = np.iinfo(TYPES[kind])
    return np.asarray(random.integers(info.min, info.max, shape, dtype=TYPES[kind], endpoint=True))


def model(kinds, seed=0):
    return {f"{kind.lower()}.{name}": (kind, values(kind, shape, seed)) for kind in kinds for name, shape in SHAPES.items()}


def write_safetensors(path, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (kind, words) in tensors.items():
        header[name] = {"dtype": kind, "shape": list(words.shape), "data_offsets": [len(data), len(data) + words.nbytes]}
        data += words.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def read_safetensors(path):
    data = Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    return {name: (entry["dtype"], np.frombuffer(data[8 + length + entry["data_offsets"][0]:8 + length + entry["data_offsets"][1]],
                                                TYPES[entry["dtype"]]).reshape(entry["shape"]))
            for name, entry in header.items()}


def same(first, second, what):
    first, second = np.asarray(first), np.asarray(second)
    assert first.shape == second.shape, f"{what}: {first.shape} and {second.shape}"
    assert first.tobytes() == second.tobytes(), f"{what}: the bits differ"


def convert(embedfuse, source, output, *options):
    subprocess.run([embedfuse, "convert", source, "-o", output, "--quiet", "--force", *options], check=True)
    return output


# Written by embedfuse


def check_npz(embedfuse, source, tensors):
    with np.load(convert(embedfuse, source, WORK / "ours.npz")) as archive:
        assert set(archive.files) - {"embedfuse.json"} == set(tensors), archive.files
        for name, (kind, words) in tensors.items():
            # NumPy has no BF16; it reads two bytes without a meaning.
            assert archive[name].dtype == np.dtype("V2" if kind == "BF16" else TYPES[kind]), f"{name}: {archive[name].dtype}"
            same(archive[name], words, name)
    return len(tensors)


def check_gguf(embedfuse, source, tensors):
    tensors = {name: pair for name, pair in tensors.items() if pair[0] in ("F32", "F16", "BF16")}
    # Scalars and empty tensors have no place in GGUF.
    tensors = {name: pair for name, pair in tensors.items() if pair[1].size and pair[1].ndim}
    plain = write_safetensors(WORK / "gguf-source.safetensors", tensors)
    read = {t.name: t for t in gguf.GGUFReader(convert(embedfuse, plain, WORK / "ours.gguf")).tensors}
    assert set(read) == set(tensors)
    for name, (kind, words) in tensors.items():
        assert read[name].tensor_type.name == kind, name
        assert list(read[name].shape) == list(words.shape[::-1]), name
        assert read[name].data.tobytes() == words.tobytes(), f"{name}: the bits differ"
    quantized = {t.name: t for t in gguf.GGUFReader(
        convert(embedfuse, plain, WORK / "ours-q8.gguf", "--quantize", "q8_0")).tensors}
    for name, (kind, words) in tensors.items():
        if quantized[name].tensor_type.name == "Q8_0":
            numbers = (words.astype("<u4") << 16).view("<f4") if kind == "BF16" else words.astype("<f4")
            reference = gguf.quants.quantize(numbers, gguf.GGMLQuantizationType.Q8_0)
            assert quantized[name].data.tobytes() == reference.tobytes(), f"{name}: Q8_0 differs from gguf's"
    count = sum(t.tensor_type.name == "Q8_0" for t in quantized.values())
    assert count, "no tensor was quantised"
    return len(tensors), count


def check_hdf5(embedfuse, source, tensors):
    with h5py.File(convert(embedfuse, source, WORK / "ours.h5")) as file:
        for name, (kind, words) in tensors.items():
            numbers = (words.astype("<u4") << 16).view("<f4") if kind == "BF16" else words
            found = np.asarray(file[name][()])
            assert file[name].attrs["dtype"].decode() == kind, name
            same(found.astype("|b1") if kind == "BOOL" else found, numbers, name)
    return len(tensors)


def restore(stored, base, bits):
    """The values of a dataset of differences, after docs/formats.md."""
    word, top = np.dtype(f"<u{bits // 8}").type, bits - 1
    z, b = stored, base.view(word)
    ordered = np.where(b >> word(top), ~b, b | word(1 << top))
    o = (ordered + ((z >> word(1)) ^ (word(0) - (z & word(1))))).astype(word)
    return np.where(o >> word(top), o ^ word(1 << top), ~o)


def check_differences(embedfuse, source, tensors, base_path, base):
    output = convert(embedfuse, source, WORK / "delta.h5", "--relative-to", base_path)
    count = 0
    with h5py.File(output) as file:
        assert file["__delta__"].attrs["version"].decode() == "1"
        for name, (kind, words) in tensors.items():
            if "delta_of" in file[name].attrs:
                assert "dtype" not in file[name].attrs
                same(restore(file[name][()], base[name][1], 8 * words.itemsize), words.view(f"<u{words.itemsize}"), name)
                count += 1
    assert count >= 4, f"{count} tensors were stored as differences"
    return count


# Read by embedfuse


def check_reading(embedfuse, path, expected, *options):
    found = read_safetensors(convert(embedfuse, path, WORK / "read.safetensors", *options))
    assert set(found) == set(expected), f"{path}: {set(found) ^ set(expected)}"
    for name, words in expected.items():
        same(found[name][1], words, f"{path}: {name}")
    return len(expected)


def numpy_files(tensors):
    arrays = {name: words for name, (kind, words) in tensors.items() if kind != "BF16"}
    np.savez(WORK / "stored.npz", **arrays)
    np.savez_compressed(WORK / "deflated.npz", **arrays)
    np.savez(WORK / "fortran.npz", **{name: np.asarray(words, order="F") for name, words in arrays.items()})
    np.savez(WORK / "big.npz", **{name: words.astype(words.dtype.newbyteorder(">")) for name, words in arrays.items()})
    for name in ("stored", "deflated", "fortran", "big"):
        yield WORK / f"{name}.npz", arrays
    array = arrays["f32.matrix.weight"]
    np.save(WORK / "array.npy", array)
    yield WORK / "array.npy", {"array": array}


def hdf5_files(tensors):
    arrays = {name: words for name, (kind, words) in tensors.items() if kind != "BF16"}
    chunked = {"gzip": {"compression": "gzip", "shuffle": True}, "lzf": {"compression": "lzf"},
               "checksums": {"compression": "gzip", "fletcher32": True}, "zstd": dict(hdf5plugin.Zstd(clevel=3), shuffle=True),
               "blosc": dict(hdf5plugin.Blosc()), "plain": {}}
    for label, options in chunked.items():
        path = WORK / f"{label}.h5"
        with h5py.File(path, "w", userblock_size=512 if label == "lzf" else 0) as file:
            for name, words in arrays.items():
                file.create_dataset(name, data=words, **(options if words.size and words.ndim else {}))
        yield path, arrays


def gguf_file(tensors):
    path = WORK / "theirs.gguf"
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_string("general.name", "test")
    expected = {}
    for name, (kind, words) in tensors.items():
        if kind not in ("F32", "F16", "BF16") or not words.size or not words.ndim:
            continue
        if kind == "BF16":
            writer.add_tensor(name, words.view(np.uint8).reshape(*words.shape[:-1], -1),
                              raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(name, words)
        expected[name] = words
    blocks = gguf.quants.quantize(values("F32", (6, 64), 9), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("q8", blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    expected["q8"] = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, expected


def main():
    embedfuse = os.path.abspath(sys.argv[1])
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    os.environ["HDF5_PLUGIN_PATH"] = hdf5plugin.PLUGINS_PATH
    tensors = model(TYPES)
    source = write_safetensors(WORK / "source.safetensors", tensors)
    print(f"npz: numpy reads {check_npz(embedfuse, source, tensors)} tensors bit-equal")
    plain, quantized = check_gguf(embedfuse, source, tensors)
    print(f"gguf: the gguf package reads {plain} tensors bit-equal, and {quantized} in Q8_0 as it would write them")
    print(f"h5: h5py reads {check_hdf5(embedfuse, source, tensors)} tensors bit-equal")
    floats = {name: pair for name, pair in tensors.items() if pair[0] in ("F64", "F32", "F16", "BF16")}
    moved = {name: (kind, values(kind, words.shape, 1)) for name, (kind, words) in floats.items()}
    base = write_safetensors(WORK / "base.safetensors", moved)
    source = write_safetensors(WORK / "floats.safetensors", floats)
    print(f"differences: numpy restores {check_differences(embedfuse, source, floats, base, moved)} tensors bit-equal")
    for path, expected in [*numpy_files(tensors), *hdf5_files(tensors), gguf_file(tensors)]:
        print(f"{path.name}: embedfuse reads {check_reading(embedfuse, path, expected)} tensors bit-equal")
    theirs = {name: words for name, (kind, words) in tensors.items() if kind != "BF16"}
    save_file(theirs, WORK / "theirs.safetensors")
    print(f"theirs.safetensors: {check_reading(embedfuse, WORK / 'theirs.safetensors', theirs)} tensors bit-equal")


if __name__ == "__main__":
    main()
