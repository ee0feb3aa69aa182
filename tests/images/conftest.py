from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bncli.images.batch import preflight
from bncli.images.decode import decode
from bncli.images.folder import Found
from bncli.images.header import read_headers
from bncli.images.pillow import pillow_unlimited
from bncli.images.policy import ReadPolicy


@pytest.fixture(autouse=True)
def _as_in_a_run():
    with pillow_unlimited():
        yield


@pytest.fixture
def write(tmp_path):
    """Put bytes into a file and give its path."""

    def put(content, name="picture.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return put


@pytest.fixture
def read():
    """Read the pictures of one file as the package does: (h, w, c) each, alpha last."""

    def pictures(path, **policy):
        chosen = ReadPolicy(**policy)
        found = []
        for header in read_headers(path, path.name, chosen):
            decoded = decode(header, chosen)
            width, height = chosen.resize or header.size
            pixels = decoded.values.reshape(height, width, -1)
            if decoded.alpha is not None:
                pixels = np.dstack([pixels, decoded.alpha.reshape(height, width)])
            found.append(pixels)
        return found

    return pictures


@pytest.fixture
def read_one(read):
    def picture(path, **policy):
        (pixels,) = read(path, **policy)
        return pixels

    return picture


@pytest.fixture
def gather():
    """Preflight files as one batch."""

    def image_set(paths, *, skip=False, **policy):
        found = Found(tuple((path, path.name) for path in paths), 0, {}, 0, (), ())
        with ThreadPoolExecutor(2) as executor:
            return preflight(found, ReadPolicy(**policy), executor, skip=skip)

    return image_set
