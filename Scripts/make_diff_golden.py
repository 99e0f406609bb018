#!/usr/bin/env python3
"""Writes fixtures/golden/diff.json: the figures of `embedfuse diff` on the committed family, by plain numpy.

usage: golden-diff.py FAMILY OUT    (needs numpy and safetensors)
"""
import json
import sys

import numpy as np
from safetensors.numpy import load_file

FAMILY, OUT = sys.argv[1:]
MODELS = ["retrieval", "similarity"]


def figures(base, models):
    """Each figure as its definition has it, over whole arrays."""
    deltas = [m - base for m in models]
    sizes = np.abs(np.stack(deltas))
    total = sizes.sum(0)
    shares = np.where(total == 0, 1 / len(deltas), sizes / np.where(total == 0, 1, total))
    norms = [float(np.sqrt((d * d).sum())) for d in deltas]
    norm = float(np.sqrt((base * base).sum()))
    signs = np.sign(np.stack(deltas))
    return {
        "elements": int(base.size),
        "base_norm": norm,
        "models": [
            {
                "norm": n,
                "relative_norm": n / (norm or 1),
                "rms": float(np.sqrt((d * d).mean())),
                "greatest": float(np.abs(d).max()),
                "zeros": int((d == 0).sum()),
                "sparsity": float((d == 0).mean()),
                "weight": float(s.mean()),
            }
            for d, n, s in zip(deltas, norms, shares)
        ],
        "cosines": [
            float((deltas[j] * deltas[k]).sum() / (norms[j] * norms[k])) if norms[j] * norms[k] > 0 else None
            for j in range(len(deltas))
            for k in range(j + 1, len(deltas))
        ],
        "contested": int(((signs != 0).sum(0) >= 2).sum()),
        "conflicts": int(((signs > 0).any(0) & (signs < 0).any(0)).sum()),
    }


def layer(name):
    parts = name.split(".")
    return ".".join(parts[: next((i for i, p in enumerate(parts) if i and p.isdigit()), 0) + 1])


def main():
    load = lambda name: {
        k: v.astype(np.float64) for k, v in load_file(f"{FAMILY}/{name}/model.safetensors").items() if v.dtype.kind == "f"
    }
    base, models = load("base"), [load(m) for m in MODELS]
    flat = lambda names: (
        np.concatenate([base[n].ravel() for n in names]),
        [np.concatenate([m[n].ravel() for n in names]) for m in models],
    )
    words = "embeddings.word_embeddings.weight"
    moved = np.max([np.sqrt(((m[words] - base[words]) ** 2).sum(1)) for m in models], axis=0)
    rows = sorted(range(len(moved)), key=lambda r: (-moved[r], r))[:5]
    json.dump(
        {
            "total": figures(*flat(sorted(base))),
            "layers": {l: figures(*flat([n for n in sorted(base) if layer(n) == l])) for l in sorted(set(map(layer, base)))},
            "tensors": {n: figures(base[n].ravel(), [m[n].ravel() for m in models]) for n in sorted(base)},
            "rows": [
                {
                    "index": r,
                    "base_norm": float(np.linalg.norm(base[words][r])),
                    "norms": [float(np.linalg.norm(m[words][r] - base[words][r])) for m in models],
                }
                for r in rows
            ],
        },
        open(OUT, "w"),
        indent=1,
    )


main()
