"""Random arrays that are the same on every platform and in every version of numpy.

They come from the raw 64-bit output of PCG64 (O'Neill 2014), whose stream numpy guarantees; the
methods of numpy's generators may change theirs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_STREAMS = {"gamma": 0, "beta": 1, "delta": 2}


def uniform(name: str, shape: tuple[int, ...], seed: int, picture: int = 0) -> NDArray[np.float64]:
    """Numbers in [0, 1), multiples of 2**-53.

    Args:
        name: which array they are for, ``gamma``, ``beta`` or ``delta``: each has its own stream.
        shape: of the array.
        seed: any integer of at least 0.
        picture: of a delta, which picture's; each picture has its own stream.

    Examples:
        >>> uniform("gamma", (2, 1, 1), seed=7).ravel().round(4)
        array([0.3921, 0.1529])
    """
    stream = np.random.SeedSequence(seed, spawn_key=(_STREAMS[name], picture))
    raw = np.random.PCG64(stream).random_raw(math.prod(shape))
    numbers: NDArray[np.float64] = (raw >> np.uint64(11)) * np.float64(2.0**-53)
    return numbers.reshape(shape)
