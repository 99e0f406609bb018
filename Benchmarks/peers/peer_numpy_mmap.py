# numpy, mmap in, mmap out, no torch import; usage: peer_numpy_mmap.py THREADS out in... [-- out in...]
import sys, json, os, numpy as np
from concurrent.futures import ThreadPoolExecutor
T, C = int(sys.argv[1]), 1 << 20
def op(f):
    n = int.from_bytes(open(f, "rb").read(8), "little"); h = json.loads(open(f, "rb").read(8 + n)[8:]); h.pop("__metadata__", None)
    return h, np.memmap(f, np.uint8, "r", offset=8 + n)
def average(out, files):
    ms = [op(f) for f in files]; n0 = int.from_bytes(open(files[0], "rb").read(8), "little"); head = open(files[0], "rb").read(8 + n0)
    os.makedirs(os.path.dirname(os.path.abspath(out)), exist_ok=True)
    with open(out, "wb") as g: g.truncate(os.path.getsize(files[0]))
    o = np.memmap(out, np.uint8, "r+"); o[:8 + n0] = np.frombuffer(head, np.uint8); ob = o[8 + n0:]
    def job(a):
        dt, off, end = a
        if dt == "F32":
            s = [m[off:end].view(np.float32) for _, m in ms]
            r = s[0] + s[1]
            for x in s[2:]: r += x
            r *= np.float32(1 / len(s)); ob[off:end].view(np.float32)[:] = r
        elif dt == "BF16":
            r = None
            for _, m in ms:
                x = (m[off:end].view(np.uint16).astype(np.uint32) << 16).view(np.float32)
                r = x if r is None else r + x
            r *= np.float32(1 / len(ms)); b = r.view(np.uint32); b = (b + (((b >> 16) & 1) + 0x7FFF)) >> 16
            ob[off:end].view(np.uint16)[:] = b.astype(np.uint16)
        else: ob[off:end] = ms[0][1][off:end]
    jobs = []
    for k, v in ms[0][0].items():
        assert all(h[k]["data_offsets"] == v["data_offsets"] for h, _ in ms)
        a, e = v["data_offsets"]
        jobs += [(v["dtype"], x, min(e, x + C)) for x in range(a, e, C)]
    if T == 1:
        for j in jobs: job(j)
    else:
        with ThreadPoolExecutor(T) as ex: list(ex.map(job, jobs))
group = []
for a in sys.argv[2:] + ["--"]:
    if a == "--": average(group[0], group[1:]); group = []
    else: group.append(a)
