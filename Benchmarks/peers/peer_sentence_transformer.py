# SentenceTransformer.merge, which calls mergekit; usage: peer_sentence_transformer.py out model...
import sys
from sentence_transformers import SentenceTransformer
SentenceTransformer.merge(sys.argv[2:], method="linear", device="cpu").save_pretrained(sys.argv[1])
