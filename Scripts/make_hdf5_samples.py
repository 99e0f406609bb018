#!/usr/bin/env python3
"""Writes the HDF5 files in fixtures/samples that tests of the reader use: into hdf5 h5py's ways to store a tensor, and
what a reader must refuse; into keras files that no version of Keras writes in the tests' size. Element i of every
tensor is (7 i mod 251) / 4 - 20, rounded to its type.

use: make_hdf5_samples.py fixtures/samples       (needs numpy, h5py 3.16, hdf5plugin 7.1)
"""
import sys
import zlib

import h5py
import hdf5plugin
import numpy as np


def values(shape, dtype="<f4"):
    count = int(np.prod(shape, dtype=np.int64))
    return ((7 * np.arange(count) % 251) / 4 - 20).astype(dtype).reshape(shape)


def filters(path):
    """Every way in which h5py stores an array."""
    with h5py.File(path, "w", libver="earliest") as file:
        data = values((60, 50))
        add = lambda name, **options: file.create_dataset(name, data=data, **options)
        add("contiguous")
        add("chunked", chunks=(16, 50))
        add("tiles", chunks=(16, 24))
        add("gzip", chunks=(16, 24), compression="gzip")
        add("gzip.shuffle", chunks=(16, 24), compression="gzip", shuffle=True)
        add("gzip.whole", chunks=(60, 50), compression="gzip", shuffle=True)
        add("shuffle", chunks=(16, 50), shuffle=True)
        add("fletcher", chunks=(16, 50), fletcher32=True)
        add("gzip.shuffle.fletcher", chunks=(16, 50), compression="gzip", shuffle=True, fletcher32=True)
        add("lzf", chunks=(16, 50), compression="lzf")
        add("lzf.shuffle.fletcher", chunks=(16, 50), compression="lzf", shuffle=True, fletcher32=True)
        add("zstd", chunks=(16, 50), compression=hdf5plugin.Zstd())
        add("zstd.shuffle.fletcher", chunks=(16, 50), compression=hdf5plugin.Zstd(), shuffle=True, fletcher32=True)
        add("resizable", chunks=(64, 64), maxshape=(None, None), compression="gzip")
        add("automatic", compression="gzip", chunks=True)
        file.create_dataset("scaleoffset", data=values((60, 50), "<i2"), chunks=(16, 50), scaleoffset=0)

        # The checksum in front of the shuffle, as older versions of h5py put it.
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk((15, 50))
        creation.set_fletcher32()
        creation.set_shuffle()
        creation.set_deflate(6)
        space = h5py.h5s.create_simple((60, 50))
        dataset = h5py.Dataset(h5py.h5d.create(file.id, b"fletcher.first", h5py.h5t.IEEE_F32LE, space, creation))
        dataset[...] = data

        # Chunks that skip one filter or both.
        dataset = file.create_dataset("masked", (60, 50), "<f4", chunks=(20, 50), compression="gzip", shuffle=True)
        for number, start in enumerate(range(0, 60, 20)):
            part = data[start : start + 20].tobytes()
            if number == 0:
                dataset.id.write_direct_chunk((start, 0), part, filter_mask=3)
            elif number == 1:
                dataset.id.write_direct_chunk((start, 0), zlib.compress(part), filter_mask=1)
            else:
                dataset[start : start + 20] = data[start : start + 20]

        dataset = file.create_dataset("compact", (10, 5), "<f4", dcpl=compact())
        dataset[...] = values((10, 5))
        file.create_dataset("volume", data=values((5, 7, 9)), chunks=(2, 3, 4), compression="gzip")
        file.create_dataset("row", data=values((1000,)), chunks=(300,), compression="gzip", shuffle=True)
        file.create_dataset("scalar", data=values(()))
        file.create_dataset("empty", (0, 7), "<f4")
        file.create_dataset("encoder/layer/0/weight", data=values((4, 4)))
        file["tied"] = file["contiguous"]


def compact():
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.COMPACT)
    return creation


def types(path):
    """Element types, little-endian and big-endian, stored plainly and in chunks."""
    with h5py.File(path, "w", libver="earliest") as file:
        for order, word in (("<", "little"), (">", "big")):
            for code in ("f2", "f4", "f8", "i2", "i4", "i8", "u2", "u4", "u8", "c8"):
                data = values((30, 20), order + code) if code[0] != "u" else (values((30, 20), "i8") + 20).astype(order + code)
                file.create_dataset(f"{word}.{code}", data=data)
                file.create_dataset(f"{word}.{code}.gzip", data=data, chunks=(7, 20), compression="gzip", shuffle=True)
        file.create_dataset("i1", data=values((30, 20), "i1"))
        file.create_dataset("bool", data=values((30, 20)) > 0)


def unwritten(path):
    """Arrays of which a part was never written."""
    with h5py.File(path, "w", libver="earliest") as file:
        dataset = file.create_dataset("part", (40, 10), "<f4", chunks=(10, 10), compression="gzip", fillvalue=0.5)
        dataset[10:20] = values((10, 10))
        file.create_dataset("none", (40, 10), "<f4", fillvalue=-2)
        file.create_dataset("none.chunked", (40, 10), ">f4", chunks=(10, 10), fillvalue=1.5)
        file.create_dataset("zeros", (40, 10), "<f4")
        dataset = file.create_dataset("never", (40, 10), "<f4", chunks=(10, 10), fill_time="never")
        dataset[10:20] = values((10, 10))


def mixed(path):
    """One tensor among what holds none."""
    with h5py.File(path, "w", libver="earliest") as file:
        file["weight"] = values((4, 4))
        others(file)


def others(file):
    file["names"] = ["a", "bc"]
    file["fixed"] = np.array([b"a", b"bc"])
    file["records"] = np.zeros(3, [("x", "f4"), ("n", "i4")])
    file["references"] = np.array([file.ref], dtype=h5py.ref_dtype)
    file["nothing"] = h5py.Empty("f4")
    file.create_dataset("ragged", (2,), dtype=h5py.vlen_dtype("f4"))
    file["opaque"] = np.zeros(3, "V2")


def samples(folder):
    filters(f"{folder}/filters.h5")
    types(f"{folder}/numbers.h5")
    unwritten(f"{folder}/unwritten.h5")
    mixed(f"{folder}/mixed.h5")
    with h5py.File(f"{folder}/no_tensors.h5", "w") as file:
        others(file)
    with h5py.File(f"{folder}/userblock.h5", "w", userblock_size=1024) as file:
        file.create_dataset("plain", data=values((60, 50)))
        file.create_dataset("gzip", data=values((60, 50)), chunks=(16, 24), compression="gzip")
    with h5py.File(f"{folder}/v110.h5", "w", libver=("v110", "v110")) as file:
        for name, options in (("fixed", {}), ("extensible", {"maxshape": (None, 50)}), ("tree", {"maxshape": (None, None)})):
            file.create_dataset(name, data=values((60, 50)), chunks=(16, 24), compression="gzip", **options)
        file.create_dataset("single", data=values((60, 50)), chunks=(60, 50), compression="gzip")
        file.create_dataset("plain", data=values((60, 50)))
    with h5py.File(f"{folder}/v200.h5", "w", libver="latest") as file:
        file.create_dataset("gzip", data=values((60, 50)), chunks=(16, 24), compression="gzip")
    with h5py.File(f"{folder}/many_chunks.h5", "w", libver="earliest") as file:
        # More chunks than a reader can list in good time, one of them never written.
        dataset = file.create_dataset("w", (4100, 4), "<f4", chunks=(1, 4), compression="gzip", fillvalue=9)
        data = values((4100, 4))
        dataset[:77] = data[:77]
        dataset[78:] = data[78:]
    with h5py.File(f"{folder}/plugin.h5", "w") as file:
        file.create_dataset("w", data=values((60, 50)), chunks=(16, 24), compression=hdf5plugin.Blosc())
    refused(folder)
    bombs(folder)
    damaged(folder)


def bombs(folder):
    """Small files that stand for far more values than a reader should make of them."""
    with h5py.File(f"{folder}/bomb_unwritten.h5", "w", libver=("v110", "v110")) as file:
        file.create_dataset("weight", (1 << 30, 1 << 20), "<f4", chunks=(1024, 1024), fillvalue=1)
    with h5py.File(f"{folder}/empty_huge.h5", "w", libver=("v110", "v110")) as file:
        file.create_dataset("w", (0, (1 << 63) - 1), "<f4")
    with h5py.File(f"{folder}/bomb_deflate.h5", "w", libver="earliest") as file:
        dataset = file.create_dataset("weight", (64,), "<f4", chunks=(64,), compression="gzip")
        dataset.id.write_direct_chunk((0,), zlib.compress(bytes(8_000_000), 9))
    with h5py.File(f"{folder}/bomb_zstd.h5", "w", libver="earliest") as file:
        dataset = file.create_dataset("weight", (64,), "<f4", chunks=(64,), **hdf5plugin.Zstd())
        # A frame without its content's size, of blocks that repeat one byte 128 Ki times: 100 MB in 3 KB.
        blocks = [(repeat | 1 << 1 | 1 << 20).to_bytes(3, "little") + b"\0" for repeat in [0] * 799 + [1]]
        dataset.id.write_direct_chunk((0,), b"\x28\xb5\x2f\xfd\0\x38" + b"".join(blocks))
    with h5py.File(f"{folder}/bomb_file.h5", "w", libver="earliest") as file:
        file["weight"] = values((4,))
        dataset = file.create_dataset(
            "__files__/vocab.txt", (300 << 20,), "u1", chunks=(1 << 26,), **hdf5plugin.Zstd()
        )
        dataset[...] = 32
    # An attribute of 4,000 texts that are all the first one: 600 MB in memory.
    path = f"{folder}/bomb_texts.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file["weight"] = values((4,))
        names = np.array(["x" * 150_000] + [""] * 3999, h5py.string_dtype())
        space = h5py.h5s.create_simple(names.shape)
        h5py.h5a.create(file.id, b"names", h5py.h5t.py_create(names.dtype, logical=True), space).write(names)
    with open(path, "r+b") as file:
        content = file.read()
        # A reference is the text's length, the address of the heap that holds it, and its number there.
        first = content.index((150_000).to_bytes(4, "little"))
        file.seek(first)
        file.write(4000 * content[first : first + 16])


def damaged(folder):
    """Heaps of attributes' texts on which HDF5 1.10 never comes back, or crashes, as fuzzing found."""
    for name, place, value in [("hang", 0, bytes(16)), ("crash", 8, (0xFF << 56 | 24).to_bytes(8, "little"))]:
        path = f"{folder}/damaged_{name}.h5"
        with h5py.File(path, "w", libver="earliest") as file:
            file["weight"] = values((4,))
            file["weight"].attrs["dtype"] = "F32"
        with open(path, "r+b") as file:
            # The first object of the heap: its number, eight bytes on its size.
            file.seek(file.read().index(b"GCOL") + 16 + place)
            file.write(value)


def refused(folder):
    """What leads out of the file, in a circle or too deep."""
    with h5py.File(f"{folder}/soft_link.h5", "w") as file:
        file["weight"] = values((4, 4))
        file["link"] = h5py.SoftLink("/weight")
    with h5py.File(f"{folder}/external_link.h5", "w") as file:
        file["weight"] = values((4, 4))
        file["link"] = h5py.ExternalLink("other.h5", "/weight")
    with h5py.File(f"{folder}/external_values.h5", "w") as file:
        file.create_dataset("weight", (4, 4), "<f4", external=[("values.raw", 0, 64)])
    with h5py.File(f"{folder}/virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((4, 4), "<f4")
        layout[...] = h5py.VirtualSource("other.h5", "weight", (4, 4))
        file.create_virtual_dataset("weight", layout)
    with h5py.File(f"{folder}/circle.h5", "w") as file:
        file["a/b/weight"] = values((4, 4))
        file["a/b/again"] = file["a"]
    for name, path, kind in [
        ("file_outside", "..", "u1"), ("file_outside_encoded", "1_Pooling/..%2F..%2Fconfig.json", "u1"),
        ("file_of_floats", "config.json", "<f4"),
    ]:
        with h5py.File(f"{folder}/{name}.h5", "w", libver="earliest") as file:
            file["weight"] = values((4,))
            file["__files__/" + path] = np.zeros(4, kind)
    with h5py.File(f"{folder}/composed_names.h5", "w", libver="v110") as file:
        # One letter with its accent, composed and not: two names to the library, one to Unicode.
        file["e\u0301"] = values((2,))
        file["\u00e9"] = values((2,))
    with h5py.File(f"{folder}/deep.h5", "w", libver=("v110", "v110")) as file:
        file["/".join(["g"] * 100) + "/weight"] = values((4, 4))


def layers(file, names, split=False):
    """Keras's older way: every layer lists its weights, and the file its layers."""
    store_names(file, "layer_names", list(names), split)
    for layer, weights in names.items():
        group = file.create_group(layer)
        store_names(group, "weight_names", weights, split)
        for number, weight in enumerate(weights):
            group[weight] = values((3, 2 + number))


def store_names(group, attribute, names, split):
    names = np.array([name.encode() for name in names])
    if split:
        for part in range(0, len(names), 2):
            group.attrs[f"{attribute}{part // 2}"] = names[part : part + 2]
    else:
        group.attrs[attribute] = names


def keras(folder):
    with h5py.File(f"{folder}/split_names.h5", "w") as file:
        layers(file, {f"dense_{i}": [f"dense_{i}/{w}:0" for w in ("kernel", "bias", "scale")] for i in range(5)}, split=True)
    with h5py.File(f"{folder}/shared_names.h5", "w") as file:
        # A model within the model, whose layer has the name of one outside.
        layers(file, {"dense": ["dense/kernel:0"], "inner": ["dense/kernel:0", "other/kernel:0"]})
        group = file.create_group("top_level_model_weights")
        store_names(group, "weight_names", ["scale:0"], False)
        group["scale:0"] = values((4,))
    with h5py.File(f"{folder}/many.weights.h5", "w") as file:
        for number in reversed(range(12)):
            file[f"layers/block/vars/{number}"] = values((number + 1,))
        file["layers/dropout/seed_generator/vars/0"] = np.array([1, 2], "u4")
        file["layers/block/vars"].attrs["name"] = "encoder"
    with h5py.File(f"{folder}/optimizer_only.weights.h5", "w") as file:
        file["optimizer/vars/0"] = values((3,))
    for name, edit in {
        "missing_layer": lambda file: file.pop("dense"),
        "missing_weight": lambda file: file.pop("dense/dense/bias"),
        "twice": lambda file: file["dense"].attrs.__setitem__("weight_names", np.array([b"dense/kernel"] * 2)),
        "numbers_for_names": lambda file: file.attrs.__setitem__("layer_names", np.arange(3)),
        "no_weights": lambda file: file["dense"].attrs.__setitem__("weight_names", np.array([], "S1")),
    }.items():
        with h5py.File(f"{folder}/bad_{name}.h5", "w") as file:
            layers(file, {"dense": ["dense/kernel", "dense/bias"]})
            edit(file)


samples(f"{sys.argv[1]}/hdf5")
keras(f"{sys.argv[1]}/keras")
