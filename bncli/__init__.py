"""Normalize and gradient-check image batches.

The public names are loaded on first use, so that importing the package imports no numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bncli.errors import BncliError
from bncli.version import __version__

if TYPE_CHECKING:
    from bncli.batchnorm.draws import uniform
    from bncli.batchnorm.layer import BatchNorm
    from bncli.batchnorm.moments import Moments
    from bncli.checking.examine import gradcheck
    from bncli.runs.apply import apply_folder
    from bncli.runs.fit import fit_folder
    from bncli.runs.invert import invert_folder
    from bncli.runs.merge import merge_statistics
    from bncli.runs.normalize import normalize_folder
    from bncli.runs.statistics import inspect_statistics

__all__ = [
    "BatchNorm",
    "BncliError",
    "Moments",
    "__version__",
    "apply_folder",
    "fit_folder",
    "gradcheck",
    "inspect_statistics",
    "invert_folder",
    "merge_statistics",
    "normalize_folder",
    "uniform",
]

_HOMES = {
    "BatchNorm": "bncli.batchnorm.layer",
    "Moments": "bncli.batchnorm.moments",
    "apply_folder": "bncli.runs.apply",
    "fit_folder": "bncli.runs.fit",
    "gradcheck": "bncli.checking.examine",
    "inspect_statistics": "bncli.runs.statistics",
    "invert_folder": "bncli.runs.invert",
    "merge_statistics": "bncli.runs.merge",
    "normalize_folder": "bncli.runs.normalize",
    "uniform": "bncli.batchnorm.draws",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bncli' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
