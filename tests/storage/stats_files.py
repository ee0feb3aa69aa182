"""stats.npz files built by hand: NumPy and json, not bncli, are the authority."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
from storage.npy_files import zipped

X = np.array([[0, 5, 9, 255], [10, 5, 9, 0], [20, 5, 8, 255]], np.uint8).reshape(3, 2, 2, 1)
"""Three pictures, (batch, w, h, c); one pixel is dead."""

NAMES = ["a.png", "b.png", "c.png"]


def facts(**changed):
    return {
        "format": "bncli.stats/1",
        "count": 3,
        "shape": [2, 2, 1],
        "dtype": "uint8",
        "unit": 255.0,
        "channel_order": "L",
        "orientation": "upright",
        "mode": "keep",
        "alpha": "keep",
        "resize": None,
        "eps": 1e-8,
        "ddof": 0,
        "gamma": 1.0,
        "beta": 0.0,
        "running": None,
        "bncli": "0.0",
    } | changed


def planes(x=X):
    wide = x.astype(np.uint32)
    return {
        "total": wide.sum(axis=0, dtype=np.uint32),
        "square_total": (wide**2).sum(axis=0, dtype=np.uint32),
        "minimum": x.min(axis=0),
        "maximum": x.max(axis=0),
    }


def float_planes(x=X):
    x = x / 255
    return {
        "mean": x.mean(axis=0),
        "square_deviation": ((x - x.mean(axis=0)) ** 2).sum(axis=0),
        "minimum": x.min(axis=0),
        "maximum": x.max(axis=0),
    }


FLOATS = {"dtype": "float64", "unit": 1.0, "channel_order": "as given"}


def tables(names=NAMES, digests=None):
    shas = digests or [hashlib.sha256(name.encode()).digest() for name in names]
    return {
        "digests": np.frombuffer(b"".join(shas), np.uint8).reshape(-1, 32),
        "names": np.frombuffer(b"".join(n.encode() + b"\0" for n in names), np.uint8),
    }


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    return buffer.getvalue()


def archive(members, described, **options):
    """A file of these members, whose facts hold the right digests of them."""
    contents = {name: npy_bytes(array) for name, array in members.items()}
    shas = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    document = {**described} if "sha256" in described else {**described, "sha256": shas}
    text = json.dumps(document).encode()
    contents["facts"] = npy_bytes(np.frombuffer(text, np.uint8))
    return zipped([(f"{name}.npy", content) for name, content in contents.items()], **options)


def stats(changed_planes=None, changed_tables=None, **changed_facts):
    members = planes() | (changed_planes or {}) | tables() | (changed_tables or {})
    return archive(members, facts(**changed_facts))
