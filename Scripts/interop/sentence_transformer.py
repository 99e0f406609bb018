"""Loads a fused directory with sentence-transformers, checks that it has our weights, and encodes with it.

use: sentence_transformer.py DIRECTORY [DIRECTORY ...]

Loading alone proves little: a library invents the parameters that it doesn't find, and says so in a line of log.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

SENTENCES = ["A library for compressing files.", "A tool that makes archives smaller.", "A game about sailing ships."]


def stored_tensors(folder):
    """The tensors that a module's folder holds, in all of its shards."""
    tensors = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors


def check_weights(model, path):
    """Every parameter of every module has the bits of the stored tensor of its name; returns how many were compared."""
    compared = 0
    for index, module in enumerate(model):
        # The transformer's files are at the top, those of other modules in INDEX_TYPE.
        folder = Path(path) if index == 0 else next(Path(path).glob(f"{index}_*"), Path(path) / "none")
        stored = stored_tensors(folder)
        for name, parameter in module.named_parameters():
            found = [key for key in stored if name == key or name.endswith("." + key)]
            assert len(found) == 1, f"{path}: parameter {index}.{name} is not among the stored tensors"
            tensor = stored[found[0]]
            assert parameter.shape == tensor.shape, f"{path}: {name}: {parameter.shape} loaded, {tensor.shape} stored"
            assert torch.equal(parameter.detach(), tensor.to(parameter.dtype)), f"{path}: {name} differs from the file"
            compared += 1
    assert compared, f"{path}: no parameters"
    return compared


for path in sys.argv[1:]:
    model = SentenceTransformer(path, device="cpu")
    compared = check_weights(model, path)
    vectors = model.encode(SENTENCES, normalize_embeddings=True)
    assert np.isfinite(vectors).all() and vectors.shape == (3, model.get_embedding_dimension()), vectors.shape
    cosines = vectors @ vectors.T
    print(f"{path}: {compared} parameters as stored, {vectors.shape[1]} dimensions")
    for i, j in ((0, 1), (0, 2)):
        print(f"  cosine {cosines[i, j]:+.4f}  {SENTENCES[i]!r}  {SENTENCES[j]!r}")
