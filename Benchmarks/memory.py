"""Measures the peak memory of merges and conversions for every format, and prints it as Markdown.

use: memory.py --embedfuse PATH --data DIR [--work DIR] [--memory 128M,64M] [--only TEXT]... [--keep]

DIR holds `base/`, `ft1/`, `ft2/` and `ft3/` as checkpoints.py writes them. The first three are
written in every format: by torch, h5py, numpy, and embedfuse itself (differences are to ft3). Each format is merged, the base
with one fine-tune and with four (each of two is named twice), and converted, and the greatest resident size that the system saw,
in MiB, is compared with `--memory`: code, libraries and touched file pages count. Where embedfuse refuses, the table has the
memory that it asks for. Formats whose library this Python lacks are left out. A format's files are removed before those of the
next are made, unless --keep is given.
"""

import argparse
import multiprocessing
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

MODELS = ("base", "ft1", "ft2")
DELTA_BASE = "ft3"


def tensors(folder):
    """The tensors of `folder`, one at a time."""
    from safetensors import safe_open
    with safe_open(folder / "model.safetensors", "np") as file:
        for name in file.keys():
            yield name, file.get_tensor(name)


# Writers of a format: source folder and path of the file.


def write_torch(source, path, **options):
    import torch
    torch.save({name: torch.from_numpy(value.copy()) for name, value in tensors(source)}, path, **options)


def write_torch_deflated(source, path):
    plain = path.with_suffix(".plain")
    write_torch(source, plain)
    with zipfile.ZipFile(plain) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for entry in archive.infolist():
            out.writestr(entry.filename, archive.read(entry.filename))
    plain.unlink()


def write_hdf5(source, path, **options):
    import h5py
    with h5py.File(path, "w") as file:
        for name, value in tensors(source):
            file.create_dataset(name, data=value, **options)


def write_keras(source, path):
    """The layout of Keras 3: a zip archive with the weights stored as HDF5."""
    import h5py
    inner = path.with_suffix(".weights.h5")
    with h5py.File(inner, "w") as file:
        for place, (_, value) in enumerate(tensors(source)):
            file.create_dataset(f"layers/layer_{place}/vars/0", data=value)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("config.json", "{}")
        archive.write(inner, "model.weights.h5")
    inner.unlink()


def write_numpy(source, path, compressed=False, fortran=False):
    import numpy
    save = numpy.savez_compressed if compressed else numpy.savez
    save(path, **{name: numpy.asfortranarray(value) if fortran else value for name, value in tensors(source)})


def converted(embedfuse, *options):
    def write(source, path):
        subprocess.run([embedfuse, "convert", source, "-o", path, "--no-sync", "-q", *options], check=True)
    return write


def formats(embedfuse, data):
    return {
        "safetensors": ("safetensors", converted(embedfuse)),
        "torch zip": ("bin", write_torch),
        "torch, older stream": ("pt", lambda s, p: write_torch(s, p, _use_new_zipfile_serialization=False)),
        "torch, deflated": ("pth", write_torch_deflated),
        "HDF5 by embedfuse": ("h5", converted(embedfuse)),
        "HDF5 by embedfuse, differences": ("delta.h5", converted(embedfuse, "--relative-to", data / DELTA_BASE)),
        "HDF5 by h5py, contiguous": ("contiguous.h5", write_hdf5),
        "HDF5 by h5py, gzip and shuffle": (
            "gzip.h5", lambda s, p: write_hdf5(s, p, compression="gzip", compression_opts=1, shuffle=True)),
        "Keras 3 archive": ("keras", write_keras),
        "npz": ("npz", write_numpy),
        "npz, deflated": ("deflated.npz", lambda s, p: write_numpy(s, p, compressed=True)),
        "npz, column-major": ("fortran.npz", lambda s, p: write_numpy(s, p, fortran=True)),
        "GGUF": ("gguf", converted(embedfuse)),
        "GGUF, Q8_0": ("q8.gguf", converted(embedfuse, "--quantize", "q8_0")),
    }


def made(write, source, path):
    """Writes a file in a process of its own: what a process has held counts for those that it starts."""
    writer = multiprocessing.get_context("fork").Process(target=write, args=(source, path))
    writer.start()
    writer.join()
    return writer.exitcode == 0


def peak(command):
    """Processor seconds and peak resident bytes of a command, or None and what it complained of."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    problem = process.stderr.read().decode().strip()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        enough = re.search(r"at least --memory (\w+)", problem)
        return None, f"needs {enough[1]}" if enough else problem.splitlines()[0]
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def bound(text):
    return int(text[:-1]) << 20


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--embedfuse", required=True, type=Path)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--work", default=Path(".build-bench/memory"), type=Path)
    arguments.add_argument("--memory", default="128M,64M")
    arguments.add_argument("--only", action="append", default=[], help="formats whose name has it")
    arguments.add_argument("--keep", action="store_true")
    arguments = arguments.parse_args()
    embedfuse, data, work = arguments.embedfuse.resolve(), arguments.data.resolve(), arguments.work
    work.mkdir(parents=True, exist_ok=True)
    bounds = arguments.memory.split(",")
    print("| format | MB | " + " | ".join(
        f"{what}, {text}" for text in bounds
        for what in ("one", "four", "to .safetensors", "to .h5")) + " |")
    print("|---|--:|" + "--:|" * (4 * len(bounds)))
    exceeded = []
    for name, (ending, write) in formats(embedfuse, data).items():
        if arguments.only and not any(text in name for text in arguments.only):
            continue
        paths = [work / f"{model}.{ending}" for model in MODELS]
        if not all(path.exists() or made(write, data / model, path) for model, path in zip(MODELS, paths)):
            print(f"{name}: left out", file=sys.stderr)
            continue
        out = work / "out"
        cells = []
        for text in bounds:
            limit = ["--memory", text, "--no-sync", "--force", "-q"]
            own = ["--delta-base", data / DELTA_BASE] if "differences" in name else []
            for command in (
                ["merge", "--base", paths[0], paths[1], "-o", f"{out}.safetensors"],
                ["merge", "--base", *paths, *paths[1:], "-o", f"{out}.safetensors"],
                ["convert", paths[0], "-o", f"{out}.safetensors"],
                ["convert", paths[0], "-o", f"{out}.h5"],
            ):
                seconds, resident = peak([embedfuse, *command, *limit, *own])
                if seconds is None:
                    cells.append(resident)
                else:
                    cells.append(f"{resident / 1048576:.0f}")
                    if resident > bound(text):
                        exceeded.append(f"{name}: {' '.join(map(str, command))}: {cells[-1]} MiB of {text}")
        print(f"| {name} | {paths[0].stat().st_size / 1e6:.0f} | " + " | ".join(cells) + " |", flush=True)
        for path in (work / f"{Path(out).name}.safetensors", work / f"{Path(out).name}.h5"):
            path.unlink(missing_ok=True)
        for path in () if arguments.keep else paths:
            path.unlink()
    for line in exceeded:
        print(line, file=sys.stderr)
    sys.exit(1 if exceeded else 0)


if __name__ == "__main__":
    main()
