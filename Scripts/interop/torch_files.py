"""Files of torch.save are read as torch reads them, and torch reads what embedfuse writes.

use: torch_files.py EMBEDFUSE
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

WORK = Path(".build-interop/torch")
TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.int64,
         torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool,
         torch.complex64]


def same(found, expected, what):
    """The same names, types, shapes and bits."""
    assert set(found) == set(expected), f"{what}: {set(found) ^ set(expected)}"
    for name, tensor in expected.items():
        tensor = tensor.detach().contiguous()
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape, f"{what}: {name}"
        first, second = (t.reshape(-1).view(torch.uint8) if t.numel() else t for t in (found[name], tensor))
        assert torch.equal(first, second), f"{what}: {name} has other bits"


def state_dict():
    generator = torch.Generator().manual_seed(0)
    result = {}
    for kind in TYPES:
        for name, shape in {"matrix": (300, 257), "row": (5,), "one": (), "none": (0, 3)}.items():
            bits = torch.randn(shape, generator=generator)
            result[f"{str(kind).split('.')[1]}.{name}"] = (bits > 0) if kind == torch.bool else (bits * 50).abs().to(kind)
    result["transposed"] = torch.randn(70, 50, generator=generator).t()
    result["slice"] = torch.randn(90, 40, generator=generator)[3:50:2, ::3]
    result["expanded"] = torch.randn(1, 40, generator=generator).expand(7, 40)
    result["parameter"] = torch.nn.Parameter(torch.randn(9, 9, generator=generator))
    return result


def main():
    embedfuse = os.path.abspath(sys.argv[1])
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    whole = state_dict()
    # torch itself can't read its older stream in the newer types.
    older = {name: t for name, t in whole.items() if "float8" not in name and not name.startswith(("uint16", "uint32", "uint64"))}
    names = sorted(whole)
    files = {"zip.bin": whole, "older.pt": older, "trainer.ckpt": whole, "wrapped.pth": whole}
    torch.save(whole, WORK / "zip.bin")
    torch.save(older, WORK / "older.pt", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": whole, "epoch": 3, "optimizer_states": [{"state": {}}]}, WORK / "trainer.ckpt")
    torch.save({"model": {f"module.{name}": t for name, t in whole.items()}}, WORK / "wrapped.pth")
    shards = {name: f"pytorch_model-0000{1 + place % 2}-of-00002.bin" for place, name in enumerate(names)}
    for shard in set(shards.values()):
        torch.save({name: whole[name] for name in names if shards[name] == shard}, WORK / shard)
    (WORK / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    files["pytorch_model.bin.index.json"] = whole
    for file, expected in files.items():
        subprocess.run([embedfuse, "convert", WORK / file, "-o", WORK / "out.safetensors", "--quiet", "--force"], check=True)
        found = load_file(WORK / "out.safetensors")
        same({name.removeprefix("module."): t for name, t in found.items()}, expected, file)
        print(f"{file}: {len(expected)} tensors as torch has them")
    floats = {name: t for name, t in whole.items() if t.dtype in (torch.float32, torch.bfloat16, torch.float16)}
    torch.save(floats, WORK / "base.bin")
    torch.save({name: t + 0.25 for name, t in floats.items()}, WORK / "tuned.pt")
    subprocess.run([embedfuse, "merge", "--method", "soup", WORK / "base.bin", WORK / "tuned.pt", "-o", WORK / "soup.safetensors",
                    "--quiet"], check=True)
    tuned = torch.load(WORK / "tuned.pt", weights_only=True)
    same(load_file(WORK / "soup.safetensors"),
         {name: ((t.double() + tuned[name].double()) / 2).to(t.dtype) for name, t in floats.items()}, "soup")
    print(f"a soup of two torch files: {len(floats)} tensors as torch computes them in float64")


if __name__ == "__main__":
    main()
