"""What the comparison reads: pictures of every kind, small and not square, whole and damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import tifffile
from interpreter import Interpreter
from PIL import Image

HERE = Path(__file__).parent
TARGETS = HERE.parent / "checking" / "targets"

MADE = [
    "fit rgb -o s.npz",
    "fit rgb -o s-random.npz --gamma random --beta random --seed 3 --eps 1e-4",
    "fit rgb -o s-drop.npz --mode L --resize 6x4",
    "fit rgb -o s-running.npz --batch-size 3 --ddof 0",
    "fit rgb -o s-unbiased.npz --ddof 1",
    "fit rgb -o s-1.npz --shard 1/2",
    "fit rgb -o s-2.npz --shard 2/2",
    "fit rgba -o s-rgba.npz",
    "fit rgba -o s-rgba-drop.npz --alpha drop",
    "fit grey16 -o s-grey16.npz",
    "fit float -o s-float.npz",
    "fit batch.npy -o s-batch.npz",
    "fit one -o s-one.npz",
    "normalize rgb -o n-png",
    "normalize rgb -o n-png16 --depth 16",
    "normalize rgb -o n-sigma --scale sigma:1",
    "normalize rgb -o n-image --scale image",
    "normalize rgb -o n-tiff --format tiff --gamma random",
    "normalize rgb -o n-npy --format npy",
    "normalize rgb -o n-step --delta random --update --lr 0.1 --gamma random",
    "normalize rgba -o n-rgba --format tiff",
    "normalize grey16 -o n-grey16 --depth 16",
    "normalize float -o n-float --format tiff",
    "normalize batch.npy -o n-batch --format npy",
]
"""What commands that read results are given: made once, by the old interpreter."""


class _Maker:
    def __init__(self, place: Path) -> None:
        self.place, self.rng = place, np.random.default_rng(7)

    def pixels(self, count, shape, kind=np.uint8):
        if np.dtype(kind).kind == "f":
            return self.rng.standard_normal((count, *shape)).astype(kind)
        return self.rng.integers(0, np.iinfo(kind).max, (count, *shape), kind, endpoint=True)

    def folder(self, name, arrays, suffix=".png", convert=None, **options):
        (self.place / name).mkdir(parents=True)
        for number, array in enumerate(arrays, 1):
            path = self.place / name / f"p{number}{suffix}"
            image = Image.fromarray(array)
            (image.convert(convert) if convert else image).save(path, **options)

    def deep(self, name, arrays):
        (self.place / name).mkdir()
        for number, array in enumerate(arrays, 1):
            tifffile.imwrite(
                self.place / name / f"p{number}.tif", array, photometric="rgb", metadata=None
            )


def make(place: Path) -> None:
    """Fill a folder with everything but what MADE makes."""
    maker = _Maker(place)
    maker.folder("rgb", maker.pixels(11, (5, 7, 3)))
    maker.folder("new", maker.pixels(2, (5, 7, 3)))
    maker.folder("one", maker.pixels(1, (5, 7, 3)))
    maker.folder("jpg", maker.pixels(3, (9, 14, 3)), ".jpg")
    maker.folder("grey", maker.pixels(4, (5, 7)))
    maker.folder("grey16", maker.pixels(4, (5, 7), np.uint16))
    maker.folder("rgba", maker.pixels(4, (5, 7, 4)))
    maker.folder("la", maker.pixels(3, (5, 7, 2)))
    maker.folder("palette", maker.pixels(3, (5, 7, 3)), convert="P")
    maker.folder("bits", maker.pixels(3, (5, 7)), convert="1")
    maker.folder("bmp", maker.pixels(3, (5, 7, 3)), ".bmp")
    maker.folder("webp", maker.pixels(3, (5, 7, 3)), ".webp", lossless=True)
    maker.folder("float", maker.pixels(4, (5, 7), np.float32), ".tiff")
    maker.folder("same", np.full((3, 5, 7, 3), 77, np.uint8))
    maker.folder("large", maker.pixels(3, (200, 150, 3)))
    maker.deep("deep", maker.pixels(3, (5, 7, 3), np.uint16))
    maker.deep("floatrgb", maker.pixels(3, (5, 7, 3), np.float32))
    _several(maker)
    _spoilt(maker)
    _arrays(maker)
    for name in ("published.py", "repository.py"):
        shutil.copy(TARGETS / name, place / name)
    (place / "right.py").write_text(RIGHT)
    (place / "wrong.py").write_text(RIGHT.replace("/ self.count", "/ 2 / self.count"))
    (place / "slip.py").write_text(
        RIGHT.replace("(self.delta * self.x_norm).sum", "self.delta.sum")
    )
    (place / "options.toml").write_text('eps = 1e-3\n[normalize]\nformat = "tiff"\n')
    (place / "bad.toml").write_text("epsilon = 1\n")
    (place / "list.txt").write_text("rgb/p10.png\nrgb/p2.png\nrgb/p1.png\n")


def _several(maker: _Maker) -> None:
    """Several frames, folders, sizes, modes, names."""
    place = maker.place
    for name, suffix in (("frames", ".tif"), ("gif", ".gif")):
        (place / name).mkdir()
        for number in (1, 2):
            first, *rest = [Image.fromarray(array) for array in maker.pixels(3, (5, 7))]
            first.save(place / name / f"p{number}{suffix}", save_all=True, append_images=rest)
    maker.folder("nested", maker.pixels(2, (5, 7, 3)))
    maker.folder("nested/sub", maker.pixels(2, (5, 7, 3)))
    (place / "nested" / "notes.txt").write_text("no picture")
    maker.folder("sizes", maker.pixels(2, (5, 7, 3)))
    Image.fromarray(maker.pixels(1, (6, 4, 3))[0]).save(place / "sizes" / "p3.png")
    maker.folder("modes", maker.pixels(2, (5, 7, 3)))
    Image.fromarray(maker.pixels(1, (5, 7))[0]).save(place / "modes" / "p3.png")
    maker.folder("depths", maker.pixels(2, (5, 7)))
    Image.fromarray(maker.pixels(1, (5, 7), np.uint16)[0]).save(place / "depths" / "p3.png")
    maker.folder("alphas", maker.pixels(2, (5, 7, 3)))
    Image.fromarray(maker.pixels(1, (5, 7, 4))[0]).save(place / "alphas" / "p3.png")
    maker.folder("clash", maker.pixels(2, (5, 7, 3)))
    Image.fromarray(maker.pixels(1, (5, 7, 3))[0]).save(place / "clash" / "p1.bmp")
    (place / "names").mkdir()
    for name in ("esc\x1b[2J.png", "new\nline.png", "a[b].png", "é.png"):
        Image.fromarray(maker.pixels(1, (5, 7))[0]).save(place / "names" / name)
    turned = Image.Exif()
    turned[0x0112] = 6
    (place / "turned").mkdir()
    for number in (1, 2):
        image = Image.fromarray(maker.pixels(1, (7, 5, 3))[0])
        image.save(place / "turned" / f"p{number}.jpg", exif=turned)


def _spoilt(maker: _Maker) -> None:
    """Files that cannot be used."""
    place = maker.place
    maker.folder("damaged", maker.pixels(5, (5, 7, 3)))
    whole = (place / "damaged" / "p2.png").read_bytes()
    (place / "damaged" / "p2.png").write_bytes(whole[: len(whole) // 2])
    (place / "damaged" / "p3.png").write_bytes(b"")
    (place / "damaged" / "p6.png").write_text("no picture")
    maker.folder("rotten", maker.pixels(2, (5, 7, 3)))
    for path in (place / "rotten").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    maker.folder("nan", [np.full((5, 7), np.nan, np.float32), *maker.pixels(2, (5, 7), np.float32)],
                 ".tiff")  # fmt: skip
    (place / "empty").mkdir()
    (place / "text").mkdir()
    (place / "text" / "notes.txt").write_text("no picture")
    (place / "bad.npz").write_bytes(b"PK nothing")


def _arrays(maker: _Maker) -> None:
    """Batches, parameters and deltas."""
    arrays = {
        "batch": maker.pixels(6, (7, 5, 3), np.float64) + 1e3,
        "ints": maker.pixels(6, (7, 5, 3)),
        "shorts": maker.pixels(6, (7, 5, 1), np.uint16),
        "nine": maker.pixels(4, (7, 5, 9), np.float32),
        "flat": maker.pixels(4, (7, 5), np.float32),
        "hole": np.full((3, 7, 5, 3), np.nan),
        "delta": maker.pixels(11, (7, 5, 3), np.float64),
        "delta-short": maker.pixels(3, (7, 5, 3), np.float64),
        "gamma": maker.pixels(1, (7, 5, 3), np.float64)[0],
        "turned-gamma": maker.pixels(1, (5, 7, 3), np.float64)[0],
    }
    for name, array in arrays.items():
        np.save(maker.place / f"{name}.npy", array)


def make_results(python: Interpreter, place: Path) -> None:
    """What MADE says, in the folder of the rest."""
    for words in MADE:
        code, _, err = python.command([*words.split(), "-q"], place)
        if code != 0:
            raise RuntimeError(f"{words}: {err.decode()}")


RIGHT = '''"""A layer whose gradients are right."""

import numpy as np


class BatchNorm:
    def __init__(self, scales=None, bias=None, epsil=1e-8):
        self.scales, self.bias, self.epsil = scales, bias, epsil

    def forward(self, x):
        self.count = len(x)
        self.mean = x.mean(axis=0)
        self.inv_std = 1 / np.sqrt(((x - self.mean) ** 2).mean(axis=0) + self.epsil)
        self.x_norm = (x - self.mean) * self.inv_std
        self.output = self.scales * self.x_norm + self.bias
        self.delta = np.zeros(x.shape)
        return self.output

    def backward(self, delta=None):
        self.bias_updates = self.delta.sum(axis=0)
        self.scales_updates = (self.delta * self.x_norm).sum(axis=0)
        both = self.bias_updates + self.x_norm * self.scales_updates
        gradient = self.scales * self.inv_std * (self.delta - both / self.count)
        if delta is not None:
            delta[:] = gradient
        return gradient
'''
