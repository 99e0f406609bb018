"""Loads a fused directory with sentence-transformers and encodes with it.

use: sentence_transformer.py DIRECTORY [DIRECTORY ...]
"""

import sys

import numpy as np
from sentence_transformers import SentenceTransformer

SENTENCES = ["A library for compressing files.", "A tool that makes archives smaller.", "A game about sailing ships."]

for path in sys.argv[1:]:
    model = SentenceTransformer(path, device="cpu")
    vectors = model.encode(SENTENCES, normalize_embeddings=True)
    assert np.isfinite(vectors).all() and vectors.shape == (3, model.get_embedding_dimension()), vectors.shape
    cosines = vectors @ vectors.T
    print(f"{path}: {vectors.shape[1]} dimensions")
    for i, j in ((0, 1), (0, 2)):
        print(f"  cosine {cosines[i, j]:+.4f}  {SENTENCES[i]!r}  {SENTENCES[j]!r}")
