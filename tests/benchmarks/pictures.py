"""Sets of pictures to measure on, made from the photographs that scikit-image carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

_PHOTOGRAPHS = ("coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png", "hubble_deep_field.jpg",
                "retina.jpg")  # fmt: skip


def make_set(folder: Path, kind: str, count: int, size: tuple[int, int]) -> Path:
    """A folder of *count* different crops: ``jpeg`` in colour, or ``grey16`` PNG."""
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    photographs = _photographs()
    for number in range(count):
        picture = _crop(photographs[number % len(photographs)], size, rng)
        if kind == "jpeg":
            picture.save(folder / f"{number:05}.jpg", quality=88)
        else:
            grey = np.asarray(picture.convert("L"), np.uint16) * 257
            grain = rng.integers(0, 257, grey.shape, dtype=np.uint16)
            Image.fromarray(np.minimum(grey, 65278) + grain).save(folder / f"{number:05}.png")
    return folder


def _photographs() -> list[Image.Image]:
    try:
        import skimage
    except ImportError:  # a smoke run: the sample pictures will do
        here = Path(__file__).parent.parent.parent / "sample_images"
        return [Image.open(path).convert("RGB") for path in sorted(here.glob("*.jpg"))]
    data = Path(skimage.__file__).parent / "data"
    return [Image.open(data / name).convert("RGB") for name in _PHOTOGRAPHS]


def _crop(picture: Image.Image, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    scale = min(picture.width / size[0], picture.height / size[1]) * rng.uniform(0.6, 1)
    width, height = int(size[0] * scale), int(size[1] * scale)
    left = int(rng.integers(0, picture.width - width + 1))
    top = int(rng.integers(0, picture.height - height + 1))
    return picture.crop((left, top, left + width, top + height)).resize(size)
