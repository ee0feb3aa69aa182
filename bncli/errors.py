"""The error tree: one class per kind, each with the exit code of its kind.

BncliError
├── OptionError               2   an option or parameter has an impossible value
│   ├── MissingExtraError     2   an optional extra is not installed
│   ├── EngineError           2   a cluster cannot be reached, or has gone away
│   ├── TargetError           2   what is to be checked cannot be loaded or understood
│   └── StateError            2   methods called in an impossible order
├── NoPicturesError           4   nothing to read
├── DataError                 5   the input data is unacceptable
│   ├── ImageError            5   a file cannot be used as a picture
│   ├── ArrayError            5   a .npy or .npz file cannot be trusted
│   ├── ShapeError            5   shapes that do not fit each other
│   ├── SinglePictureError    5   a batch of one: every output would be beta
│   └── NonFiniteError        5   NaN or infinity where a number belongs
├── OutputError               6   the output cannot be written
└── LimitError                7   a limit was hit: memory, pixels
"""

from __future__ import annotations

from typing import ClassVar

_QUOTED = 200


class BncliError(Exception):
    """Something the user can mend; each line says what, where and how.

    Args:
        lines: the message, one fault a line. A line may hold any text, a file name with a newline
            in it too: who prints it escapes it.
        paths: the files concerned.

    Examples:
        >>> from bncli import BncliError, normalize_folder
        >>> try:
        ...     normalize_folder("no such folder", "out")
        ... except BncliError as error:
        ...     print(error.exit_code, error)
        4 no such folder: there is no such file or folder; check the name
    """

    exit_code: ClassVar[int]

    def __init__(self, *lines: str, paths: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.paths = paths


def error_kinds(root: type[BncliError] = BncliError) -> dict[str, type[BncliError]]:
    """Name -> class, of a class and all below it."""
    kinds = {root.__name__: root}
    for kind in root.__subclasses__():
        kinds |= error_kinds(kind)
    return kinds


def reason_of(error: BaseException) -> str:
    """What a library says of a fault, on one line, cut where it quotes half the file."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return reason if len(reason) <= _QUOTED else reason[:_QUOTED] + "..."


class OptionError(BncliError, ValueError):
    """An option or parameter has an impossible value."""

    exit_code = 2


class MissingExtraError(OptionError):
    """An optional extra is not installed."""


class EngineError(OptionError):
    """A cluster cannot be reached, does not fit, or has gone away."""


class TargetError(OptionError):
    """What is to be checked cannot be loaded, or not understood."""


class StateError(OptionError):
    """Methods were called in an impossible order."""


class NoPicturesError(BncliError):
    """There is nothing to read."""

    exit_code = 4


class DataError(BncliError, ValueError):
    """The input data is unacceptable."""

    exit_code = 5


class ImageError(DataError):
    """A file cannot be used as a picture."""


class ArrayError(DataError):
    """A .npy or .npz file cannot be trusted."""


class ShapeError(DataError):
    """Shapes do not fit each other."""


class SinglePictureError(ShapeError):
    """A batch of one picture: every output would be beta."""


class NonFiniteError(DataError):
    """NaN or infinity stands where a number belongs."""


class OutputError(BncliError):
    """The output cannot be written."""

    exit_code = 6


class LimitError(BncliError):
    """A limit was hit: memory, pixels.

    Attributes:
        told: whether the message ends with all the limits of the run.
    """

    exit_code = 7
    told = False
