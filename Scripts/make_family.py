#!/usr/bin/env python3
"""Makes fixtures/family from fixtures/golden/inputs: a tiny BERT (2 layers, hidden size 16, 40 tokens) as three
sentence-transformers directories, with the twists of real ones: the base holds the integer buffer position_ids and the
fine-tunes don't; one tokenizer was saved again with other white space; one pooling configuration has the newer spelling.

usage: make_family.py        (standard library only; from the repository's top)
"""
import json, os, struct

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = SPECIAL + [chr(c) for c in range(97, 123)] + ["##" + c for c in "estnraoil"]


def read(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        return header, f.read()


def write(path, names, header, data):
    out, body = {"__metadata__": {"format": "pt"}}, b""
    for name in names:
        begin, end = header[name]["data_offsets"]
        out[name] = {**header[name], "data_offsets": [len(body), len(body) + end - begin]}
        body += data[begin:end]
    text = json.dumps(out, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + body)


def tokenizer():
    special = lambda text, id: {"id": id, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                                "normalized": False, "special": True}
    piece = lambda text, type_id: {"SpecialToken": {"id": text, "type_id": type_id}}
    sequence = lambda id, type_id: {"Sequence": {"id": id, "type_id": type_id}}
    single = [piece("[CLS]", 0), sequence("A", 0), piece("[SEP]", 0)]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [special(text, id) for id, text in enumerate(SPECIAL)],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": single,
                           "pair": single + [sequence("B", 1), piece("[SEP]", 1)],
                           "special_tokens": {text: {"id": text, "ids": [VOCABULARY.index(text)], "tokens": [text]}
                                              for text in ("[CLS]", "[SEP]")}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {text: id for id, text in enumerate(VOCABULARY)}},
    }


def main():
    config = {
        "architectures": ["BertModel"], "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "hidden_size": 16, "initializer_range": 0.02, "intermediate_size": 32,
        "layer_norm_eps": 1e-12, "max_position_embeddings": 16, "model_type": "bert", "num_attention_heads": 2,
        "num_hidden_layers": 2, "pad_token_id": 0, "position_embedding_type": "absolute", "torch_dtype": "float32",
        "type_vocab_size": 2, "vocab_size": len(VOCABULARY),
    }
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    for place, (name, source) in enumerate([("base", "base"), ("retrieval", "ft1"), ("similarity", "ft2")]):
        folder = f"fixtures/family/{name}"
        os.makedirs(f"{folder}/1_Pooling", exist_ok=True)

        def save(path, value, indent=2):
            with open(f"{folder}/{path}", "w") as f:
                f.write(json.dumps(value, indent=indent, ensure_ascii=False) + "\n")

        header, data = read(f"fixtures/golden/inputs/{source}.f32.safetensors")
        names = sorted((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"])
        write(f"{folder}/model.safetensors",
              [n for n in names if name == "base" or header[n]["dtype"] != "I64"], header, data)
        save("config.json", config)
        save("modules.json", [
            {"idx": idx, "name": str(idx), "path": path, "type": f"sentence_transformers.models.{type}"}
            for idx, (path, type) in enumerate(modules)])
        save("sentence_bert_config.json", {"max_seq_length": 16, "do_lower_case": False})
        save("config_sentence_transformers.json", {"prompts": {}, "default_prompt_name": None,
                                                   "similarity_fn_name": "cosine"})
        save("tokenizer_config.json", {"do_lower_case": True, "model_max_length": 16,
                                       "tokenizer_class": "BertTokenizer"})
        save("tokenizer.json", tokenizer(), indent=None if place == 1 else 2)
        save("1_Pooling/config.json",
             {"embedding_dimension": 16, "pooling_mode": "mean"} if place == 2 else
             {"word_embedding_dimension": 16, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
              "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False})
        if name == "base":
            with open(f"{folder}/vocab.txt", "w") as f:
                f.write("".join(token + "\n" for token in VOCABULARY))


if __name__ == "__main__":
    main()
