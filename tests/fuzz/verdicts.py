"""Folders of good and of bad PNG files, each file judged by itself: PngSuite, for example.

    python tests/fuzz/verdicts.py pngsuite pngsuite_bad

Good ones must give the pixels that libpng gives; bad ones must be refused by name, exit 5, and
nothing be written.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from bncli import normalize_folder
from bncli.errors import DataError
from bncli.images.decode import decode
from bncli.images.header import read_headers
from bncli.images.pillow import pillow_unlimited
from bncli.images.policy import ReadPolicy


def is_right(path: Path) -> bool:
    """Whether the pixels are those of libpng, or of Pillow where libpng keeps them packed."""
    policy = ReadPolicy(alpha="normalize")
    with pillow_unlimited():
        [header] = read_headers(str(path), path.name, policy)
        found = decode(header, policy).values.reshape(*header.size[::-1], -1)
    expected = imagecodecs.png_decode(path.read_bytes())
    if np.array_equal(found, expected.reshape(*header.size[::-1], -1)):
        return True
    with Image.open(path) as image:
        mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[found.shape[2]]
        shown = np.asarray(image.convert(mode)).reshape(*header.size[::-1], -1)
    return found.dtype == np.uint8 and np.array_equal(found, shown)


def is_refused(path: Path, beside: Path) -> bool:
    """Whether a file beside a good one is refused by name, and nothing written."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        try:
            normalize_folder([beside, path], out)
        except DataError as error:
            return path.name in error.lines[0] and not out.exists()
    return False


def main() -> int:
    """Judge both folders; 1 where a verdict is wrong."""
    good, bad = (sorted(Path(folder).rglob("*.png")) for folder in sys.argv[1:3])
    wrong = [path for path in good if not is_right(path)]
    missed = [path for path in bad if not is_refused(path, good[0])]
    for path in (*wrong, *missed):
        print("WRONG", path)
    print(
        f"{len(good) - len(wrong)} of {len(good)} good, {len(bad) - len(missed)} of {len(bad)} bad"
    )
    return 1 if wrong or missed else 0


if __name__ == "__main__":
    sys.exit(main())
