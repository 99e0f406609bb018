"""Generates the families of checkpoints that the benchmarks fuse; needs numpy.

use: checkpoints.py FOLDER FAMILY...       writes FOLDER/FAMILY/base, ft1, ft2 ... unless they are there

Base: normal, with the spread that all-MiniLM-L6-v2 has in such tensors. A fine-tune moves each tensor by a normal delta
of 0.2 to 3 % of its spread, one weight in twelve and 60 % of the word embeddings' rows not at all. All comes from fixed
seeds, whatever the number of threads; bert-bf16 is bert-f32, rounded.
"""

import json
import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

# Elements of a tensor that are generated at a time, so that memory stays bounded.
PIECE = 1 << 22


def bert_shapes(hidden, inner, layers, words=30522, positions=512):
    shapes = {
        "embeddings.word_embeddings.weight": (words, hidden),
        "embeddings.position_embeddings.weight": (positions, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    for layer in range(layers):
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


def qwen_shapes(hidden=1536, inner=8960, layers=24, words=151936, keys=256):
    shapes = {"model.embed_tokens.weight": (words, hidden)}
    for layer in range(layers):
        rows = {"self_attn.q_proj.weight": (hidden, hidden), "self_attn.q_proj.bias": (hidden,),
                "self_attn.k_proj.weight": (keys, hidden), "self_attn.k_proj.bias": (keys,),
                "self_attn.v_proj.weight": (keys, hidden), "self_attn.v_proj.bias": (keys,),
                "self_attn.o_proj.weight": (hidden, hidden), "mlp.gate_proj.weight": (inner, hidden),
                "mlp.up_proj.weight": (inner, hidden), "mlp.down_proj.weight": (hidden, inner),
                "input_layernorm.weight": (hidden,), "post_attention_layernorm.weight": (hidden,)}
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in rows.items()}
    return shapes | {"model.norm.weight": (hidden,)}


def bert_configuration(hidden, inner, layers):
    return {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": hidden, "intermediate_size": inner,
            "num_hidden_layers": layers, "num_attention_heads": 12, "vocab_size": 30522,
            "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12}


@dataclass
class Family:
    shapes: dict
    element_type: str
    fine_tunes: int
    configuration: dict
    shards: int = 1
    is_sentence_transformer: bool = False


FAMILIES = {
    "minilm-f32": Family(bert_shapes(384, 1536, 6), "F32", 16, bert_configuration(384, 1536, 6),
                         is_sentence_transformer=True),
    "bert-f32": Family(bert_shapes(768, 3072, 12), "F32", 4, bert_configuration(768, 3072, 12)),
    "bert-bf16": Family(bert_shapes(768, 3072, 12), "BF16", 4, bert_configuration(768, 3072, 12)),
    "qwen-bf16": Family(qwen_shapes(), "BF16", 3, {"model_type": "qwen2"}, shards=2),
}


# Values


def spread_of(name, place):
    import numpy as np
    if "norm" in name.lower() and name.endswith("weight"):
        return 0.1
    return math.exp(np.random.default_rng([place]).uniform(math.log(0.03), math.log(0.06)))


def base_values(name, place, piece, shape):
    import numpy as np
    random = np.random.default_rng([place, 0, piece])
    values = random.standard_normal(shape, np.float32) * np.float32(spread_of(name, place))
    if "norm" in name.lower() and name.endswith("weight"):
        return values + np.float32(0.85)
    return values


def fine_tuned(base, name, place, piece, model):
    import numpy as np
    whole = np.random.default_rng([place, model])
    size = spread_of(name, place) * math.exp(whole.uniform(math.log(0.002), math.log(0.03)))
    if name.endswith(".weight") and whole.random() < 1 / 12:
        return base
    random = np.random.default_rng([place, model, piece])
    delta = random.standard_normal(base.shape, np.float32) * np.float32(size)
    if "word_embeddings" in name or "embed_tokens" in name:
        delta *= random.random((base.shape[0], 1)) > 0.6
    return base + delta


def stored(values, element_type):
    import numpy as np
    if element_type == "F32":
        return values.astype("<f4").data
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").data


# Files


def shards_of(family):
    """Lists of (place, name, shape), about equally large."""
    width = {"F32": 4, "BF16": 2}[family.element_type]
    total = sum(math.prod(shape) for shape in family.shapes.values()) * width
    shards, done = [[] for _ in range(family.shards)], 0
    for place, (name, shape) in enumerate(family.shapes.items()):
        shards[done * family.shards // total].append((place, name, shape))
        done += math.prod(shape) * width
    return shards, total, width


def header(shard, element_type, width):
    entries, offset = {"__metadata__": {"format": "pt"}}, 0
    for _, name, shape in shard:
        end = offset + math.prod(shape) * width
        entries[name] = {"dtype": element_type, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def weight_files(family):
    if family.shards == 1:
        return ["model.safetensors"]
    return [f"model-{number:05}-of-{family.shards:05}.safetensors" for number in range(1, family.shards + 1)]


def write_family(folder, family):
    models = ["base"] + [f"ft{k}" for k in range(1, family.fine_tunes + 1)]
    for model in models:
        (folder / model).mkdir(parents=True, exist_ok=True)
    shards, total, width = shards_of(family)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for shard, file_name in zip(shards, weight_files(family)):
            files = [open(folder / model / file_name, "wb") for model in models]
            for file in files:
                file.write(header(shard, family.element_type, width))
            for place, name, shape in shard:
                write_tensor(files, name, place, shape, family.element_type, pool)
            for file in files:
                file.close()
    for model in models:
        write_companions(folder / model, family, shards, total)


def write_tensor(files, name, place, shape, element_type, pool):
    rows = max(1, PIECE // math.prod(shape[1:]))
    for piece, first in enumerate(range(0, shape[0], rows)):
        base = base_values(name, place, piece, (min(rows, shape[0] - first), *shape[1:]))

        def write(model):
            values = fine_tuned(base, name, place, piece, model) if model else base
            files[model].write(stored(values, element_type))

        list(pool.map(write, range(len(files))))


def write_companions(directory, family, shards, total):
    """What stands beside the weights; config.json last, which tells that the model is complete."""
    def write(name, contents):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(json.dumps(contents))

    if family.shards > 1:
        places = {name: file for shard, file in zip(shards, weight_files(family)) for _, name, _ in shard}
        write("model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    if family.is_sentence_transformer:
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"word{i}" for i in range(5, 30522)]
        (directory / "vocab.txt").write_text("\n".join(words) + "\n")
        write("tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "model_max_length": 512})
        write("modules.json", [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])
        write("1_Pooling/config.json", {"word_embedding_dimension": family.configuration["hidden_size"],
                                        "pooling_mode_mean_tokens": True})
    kind = {"F32": "float32", "BF16": "bfloat16"}[family.element_type]
    write("config.json", family.configuration | {"torch_dtype": kind})


def is_complete(folder, family):
    return (folder / f"ft{family.fine_tunes}" / "config.json").exists()


def main():
    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        if not is_complete(folder / name, FAMILIES[name]):
            print(f"generating {name} ...", file=sys.stderr)
            write_family(folder / name, FAMILIES[name])


if __name__ == "__main__":
    main()
