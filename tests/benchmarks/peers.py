"""What people write by hand for the folder job, each a process of its own: peers.py NAME SRC OUT.

All normalize every pixel over the batch, bring the least and greatest y to black and white, and
write PNG of the input's depth. They keep the whole batch in memory, as such scripts do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def plain_numpy(source: Path, out: Path) -> None:
    """NumPy in float64 and Pillow, one thread, the script from a tutorial."""
    import numpy as np
    from PIL import Image

    files = sorted(source.iterdir())
    x = np.stack([np.asarray(Image.open(file)) for file in files])
    white = np.iinfo(x.dtype).max
    dtype, x = x.dtype, x / white
    y = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-8)
    levels = np.rint((y - y.min()) / (y.max() - y.min()) * white).astype(dtype)
    for file, picture in zip(files, levels, strict=True):
        Image.fromarray(picture).save(out / f"{file.stem}.png")


def torch_pillow(source: Path, out: Path, level: int) -> None:
    """torch.batch_norm in float32, Pillow on threads, PNG at this zlib level."""
    import numpy as np
    import torch
    from PIL import Image

    files = sorted(source.iterdir())
    with ThreadPoolExecutor(_CORES) as pool:
        decoded = list(pool.map(lambda file: np.asarray(Image.open(file)), files))
        dtype = decoded[0].dtype
        white = int(np.iinfo(dtype).max)
        x = torch.from_numpy(np.stack(decoded).astype(np.float32) / white)
        flat = x.reshape(len(files), -1)
        y = torch.nn.functional.batch_norm(flat, None, None, training=True, eps=1e-8)
        low, high = y.min(), y.max()
        levels = ((y - low) / (high - low) * white).round().reshape(x.shape).numpy().astype(dtype)

        def write(pair: tuple[Path, np.ndarray]) -> None:
            file, picture = pair
            Image.fromarray(picture).save(out / f"{file.stem}.png", compress_level=level)

        _drain(pool.map(write, zip(files, levels, strict=True)))


def opencv(source: Path, out: Path) -> None:
    """NumPy in float32, OpenCV's codecs on threads at their fastest PNG settings."""
    import cv2
    import numpy as np

    files = sorted(source.iterdir())
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(_CORES) as pool:
        decoded = list(pool.map(lambda f: cv2.imread(str(f), cv2.IMREAD_UNCHANGED), files))
        white = int(np.iinfo(decoded[0].dtype).max)
        dtype = decoded[0].dtype
        x = np.stack(decoded).astype(np.float32)
        x -= x.mean(axis=0)
        x /= np.sqrt((x * x).mean(axis=0) + 1e-8 * white**2)
        low, high = x.min(), x.max()
        x -= low
        x *= white / (high - low)
        levels = np.rint(x, out=x).astype(dtype)
        settings = [
            cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY,
            cv2.IMWRITE_PNG_STRATEGY_RLE,
        ]  # fmt: skip

        def write(pair: tuple[Path, np.ndarray]) -> None:
            file, picture = pair
            cv2.imwrite(str(out / f"{file.stem}.png"), picture, settings)

        _drain(pool.map(write, zip(files, levels, strict=True)))


def codec_floor(source: Path, out: Path) -> None:
    """bncli's own decoders and encoder on threads, and no arithmetic between them."""
    import numpy as np

    from bncli.images.decode import decode
    from bncli.images.header import read_headers
    from bncli.images.layout import to_file_order
    from bncli.images.png import encode_png
    from bncli.images.policy import ReadPolicy

    policy = ReadPolicy()

    def convert(file: Path) -> None:
        header = read_headers(file, file.name, policy)[0]
        values = decode(header, policy).values
        shape = (*header.size, len(values) // np.prod(header.size))
        (out / f"{file.stem}.png").write_bytes(encode_png(to_file_order(values, shape)))

    with ThreadPoolExecutor(_CORES) as pool:
        _drain(pool.map(convert, sorted(source.iterdir())))


PEERS: dict[str, Callable[[Path, Path], None]] = {
    "numpy": plain_numpy,
    "torch6": lambda source, out: torch_pillow(source, out, 6),
    "torch1": lambda source, out: torch_pillow(source, out, 1),
    "opencv": opencv,
    "floor": codec_floor,
}


def _drain(results: Iterable[object]) -> None:
    for _ in results:
        pass


if __name__ == "__main__":
    PEERS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
