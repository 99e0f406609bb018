# average (streaming) and write HDF5 with hdf5plugin Zstd + byte shuffle; usage: peer_h5py_zstd.py LEVEL out.h5 in...
import sys, torch, h5py, hdf5plugin; from safetensors import safe_open
lvl, out, files = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
hs = [safe_open(f, "pt") for f in files]
with h5py.File(out, "w") as g:
    for k in hs[0].keys():
        t = hs[0].get_tensor(k); dt = t.dtype
        if t.is_floating_point() and len(hs) > 1:
            acc = t.float().clone()
            for h in hs[1:]: acc += h.get_tensor(k)
            t = (acc / len(hs)).to(dt)
        a = t.view(torch.uint16).numpy() if dt == torch.bfloat16 else t.numpy()
        ch = None
        if a.size: rows = max(1, min(a.shape[0], (1 << 20) // max(1, a[0].nbytes if a.ndim > 1 else a.itemsize))); ch = (rows,) + a.shape[1:]
        kw = dict(hdf5plugin.Zstd(clevel=lvl)) if lvl >= 0 else {}
        g.create_dataset(k, data=a, chunks=ch, shuffle=True, **kw)
