"""Complex numbers that numpy's var, std and abs treat as an analytic function would.

numpy's variance of complex numbers is that of their absolute values, which is real: a complex step
through it loses the whole variance term without a word. The step itself is that of Squire & Trapp,
"Using Complex Variables to Estimate Derivatives of Real Functions" (1998).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

STEP = 2.0**-100
"""No difference is taken, so the step may be far below the last digit."""


class Analytic(np.ndarray[Any, Any]):
    """A complex array whose var, std and abs have no conjugate in them."""

    @classmethod
    def of(cls, array: NDArray[Any]) -> Self:
        """*array* as complex128."""
        return np.asarray(array, np.complex128).view(cls)

    def var(self, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0,
            keepdims: Any = 0, **more: Any) -> Any:  # fmt: skip
        """Mean of the squares, not of the squared absolute values."""
        del dtype, more
        centred = self - self.mean(axis=axis, keepdims=True)
        summed = (centred * centred).sum(axis=axis, keepdims=keepdims)
        count = self.size / max(1, np.asarray(summed).size)
        result = summed / (count - ddof)
        if out is not None:
            out[...] = result
            return out
        return result

    def std(self, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0,
            keepdims: Any = 0, **more: Any) -> Any:  # fmt: skip
        """The root of that variance."""
        root = np.sqrt(self.var(axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims, **more))
        if out is not None:
            out[...] = root
            return out
        return root

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        if method == "__call__" and ufunc in {np.absolute, np.fabs, np.conjugate}:
            (given,) = (_plain(value) for value in inputs)
            turn = 1.0 if ufunc is np.conjugate else np.where(given.real < 0, -1.0, 1.0)
            return _wrapped(given * turn)
        out = named.get("out")
        if out is not None:
            named["out"] = tuple(_plain(value) for value in out)
        result = getattr(ufunc, method)(*map(_plain, inputs), **named)
        if out is not None:
            return out[0] if len(out) == 1 else out
        return tuple(map(_wrapped, result)) if isinstance(result, tuple) else _wrapped(result)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Analytic) else value


def _wrapped(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic) and np.iscomplexobj(value):
        return np.asarray(value).view(Analytic)
    return value
