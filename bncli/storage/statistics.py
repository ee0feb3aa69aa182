"""stats.npz: the statistics of a set of pictures, which describe themselves.

An archive of the planes, each (w, h, c), of two tables of the pictures (``digests`` and ``names``),
and of ``facts``, a JSON text that also holds the SHA-256 of every other member.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bncli.errors import ArrayError
from bncli.packed import Joined, Packed, Picked, Records, Texts, order_of
from bncli.storage.arrays import naming
from bncli.storage.members import Member, load_described, write_member

FORMAT = "bncli.stats/1"

_FACTS, _DIGESTS, _NAMES = "facts", "digests", "names"
_FACTS_BYTES = 1 << 16
_DIGEST_BYTES = 32
_PLANES = {
    "uint8": ("total", "square_total", "minimum", "maximum"),
    "uint16": ("total", "square_total", "minimum", "maximum"),
    **dict.fromkeys(
        ("int8", "int16", "int32", "uint32"),
        ("total", "square_low", "square_high", "minimum", "maximum"),
    ),
    "float16": ("mean", "square_deviation", "minimum", "maximum"),
    "float32": ("mean", "square_deviation", "minimum", "maximum"),
    "float64": ("mean", "square_deviation", "minimum", "maximum"),
}
_RUNNING_PLANES = ("running_mean", "running_variance")
_UNITS = {"uint8": (255.0, 1.0), "uint16": (65535.0, 1.0)}
_CHANNEL_ORDERS = ("L", "LA", "RGB", "RGBA", "as given")
_MODES = ("keep", "L", "RGB")
_ALPHAS = ("keep", "drop", "normalize")
_PARAMETERS = ("random", "array")


@dataclass(frozen=True, slots=True)
class Running:
    """How running statistics were kept.

    Attributes:
        momentum: share of the newest batch; None for the plain average over the batches.
        batch_size: pictures in a batch; the last may have had fewer.
    """

    momentum: float | None
    batch_size: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What a stats.npz says of itself.

    Attributes:
        count: how many pictures were taken in.
        shape: (w, h, c) of each.
        dtype: of their values.
        unit: the value that value scale calls 1.
        channel_order: ``L``, ``LA``, ``RGB``, ``RGBA`` or ``as given``.
        orientation: ``upright``: EXIF orientations are applied.
        mode, alpha, resize: how pictures were read; resize is (width, height) or None.
        eps: added to the variance.
        ddof: 0 for the variance divided by the count, 1 for that divided by the count less 1.
        gamma, beta: a number, or ``random`` or ``array`` where there is a plane for it.
        running: how running statistics were kept, or None.
        bncli: the version that wrote the file.
    """

    count: int
    shape: tuple[int, int, int]
    dtype: str
    unit: float
    channel_order: str
    orientation: str
    mode: str
    alpha: str
    resize: tuple[int, int] | None
    eps: float
    ddof: int
    gamma: float | str
    beta: float | str
    running: Running | None
    bncli: str

    def plane_names(self) -> tuple[str, ...]:
        """The planes that a file with these facts holds."""
        parameters = tuple(n for n in ("gamma", "beta") if isinstance(getattr(self, n), str))
        running = _RUNNING_PLANES if self.running is not None else ()
        return (*_PLANES[self.dtype], *parameters, *running)


class Picture(NamedTuple):
    """One picture that was taken in: what it was called, and the SHA-256 of its file, in bytes."""

    name: str
    digest: bytes

    def key(self) -> bytes:
        """By which pictures are sorted: by name, then by digest."""
        # UTF-8 keeps the order of characters; no name holds a NUL.
        return f"{self.name}\0".encode("utf-8", "surrogatepass") + self.digest


@dataclass(frozen=True, slots=True, eq=False)
class Pictures(Packed[Picture]):
    """Pictures that were taken in, there may be a million of them.

    Attributes:
        names: of all.
        digests: of all.
    """

    names: Sequence[str]
    digests: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.names)

    def ordered(self) -> Pictures:
        """By name, then by digest."""
        order = order_of([picture.key() for picture in self])
        return Pictures(Picked(self.names, order), Picked(self.digests, order))

    def and_those(self, other: Pictures) -> Pictures:
        """These and others."""
        return Pictures(Joined(self.names, other.names), Joined(self.digests, other.digests))

    def different(self) -> int:
        """How many there are of different bytes."""
        return len(np.unique(_digest_array(self)))

    def _at(self, index: int) -> Picture:
        return Picture(self.names[index], self.digests[index])


def repeated_digests(pictures: Pictures) -> set[bytes]:
    """The digests that several pictures have."""
    digests, counts = np.unique(_digest_array(pictures), return_counts=True)
    # numpy takes the zeros off the end of bytes.
    return {digest.ljust(_DIGEST_BYTES, b"\0") for digest in digests[counts > 1].tolist()}


def write_statistics(
    file: BinaryIO, facts: Facts, planes: Mapping[str, NDArray[Any]], pictures: Pictures
) -> None:
    """Write a stats.npz; the same arguments, pictures in any order, give the same bytes.

    Args:
        file: open for writing.
        facts: what describes the pictures.
        planes: those that the facts call for, each (w, h, c).
        pictures: all of them.
    """
    digests: dict[str, str] = {}
    with zipfile.ZipFile(file, "w") as archive:
        for name in facts.plane_names():
            digests[name] = write_member(archive, name, _narrowed(planes[name]))
        for name, table in _tables(pictures).items():
            digests[name] = write_member(archive, name, table)
        document = {"format": FORMAT, **asdict(facts), "sha256": digests}
        text = json.dumps(document, sort_keys=True, allow_nan=False)
        write_member(archive, _FACTS, np.frombuffer(text.encode("ascii"), np.uint8))


def read_statistics(path: Path) -> tuple[Facts, dict[str, NDArray[Any]], Pictures]:
    """Read a stats.npz that anybody may have made.

    Returns:
        Its facts, its planes, each (w, h, c), and its pictures, ordered by name. Whether the
        numbers of the planes can be those of pictures is not checked.

    Raises:
        ArrayError: it is no stats.npz, of another version, damaged, or put together from several.
        ShapeError, NonFiniteError: a plane is of another shape, or holds NaN or infinity.
    """
    found: list[Facts] = []

    def describe(content: NDArray[Any]) -> dict[str, Member]:
        document = _parsed(content)
        digests = document.pop("sha256", None)
        facts = _checked(document)
        found.append(facts)
        shapes: dict[str, tuple[int | None, ...]] = dict.fromkeys(facts.plane_names(), facts.shape)
        shapes |= {_DIGESTS: (facts.count, _DIGEST_BYTES), _NAMES: (None,)}
        _demand(isinstance(digests, dict) and digests.keys() == shapes.keys(), "sha256", digests)
        return {name: Member(shape, str(digests[name])) for name, shape in shapes.items()}

    _, members = load_described(path, _FACTS, describe)
    facts = found[0]
    with naming(path):
        pictures = _pictures(members.pop(_DIGESTS), members.pop(_NAMES))
        for name, plane in members.items():
            _check_dtype(name, plane.dtype, facts.dtype)
    return facts, members, pictures


def _narrowed(plane: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in 32 bits where they are integers that fit: half the file."""
    fits = plane.dtype == np.uint64 and int(plane.max()) < 1 << 32
    return plane.astype(np.uint32) if fits else plane


def _tables(pictures: Pictures) -> dict[str, NDArray[Any]]:
    names, digests = bytearray(), bytearray()
    for name, digest in pictures.ordered():
        # NUL is the one byte that no file name holds.
        names += name.encode("utf-8", "surrogateescape") + b"\0"
        digests += digest
    return {
        _DIGESTS: np.frombuffer(digests, np.uint8).reshape(-1, _DIGEST_BYTES),
        _NAMES: np.frombuffer(names, np.uint8),
    }


def _pictures(digests: NDArray[Any], names: NDArray[Any]) -> Pictures:
    for name, table in {_DIGESTS: digests, _NAMES: names}.items():
        _demand(table.dtype == np.uint8, name, table.dtype)
    content, ends = names.tobytes(), np.flatnonzero(names == 0)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    whole = len(ends) == len(digests) and bool((ends > starts).all()) and (
        content.endswith(b"\0"))  # fmt: skip
    _demand(whole, _NAMES, f"{len(ends)} names for {len(digests)} pictures")
    texts = Texts(
        content[start:end].decode("utf-8", "surrogateescape")
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    )
    return Pictures(texts, Records(_DIGEST_BYTES, map(bytes, digests)))


def _digest_array(pictures: Pictures) -> NDArray[np.bytes_]:
    return np.frombuffer(b"".join(pictures.digests), f"S{_DIGEST_BYTES}")


def _check_dtype(name: str, dtype: np.dtype[Any], pictures: str) -> None:
    if name == "total" and pictures not in _UNITS:
        allowed: tuple[str, ...] = ("int64",)
    elif name in {"total", "square_total", "square_low", "square_high"}:
        allowed = ("uint32", "uint64")
    elif name in {"minimum", "maximum"} and "float" not in pictures:
        allowed = (pictures,)
    else:
        allowed = ("float64",)
    _demand(dtype.name in allowed and dtype.isnative, name, dtype)


def _parsed(content: NDArray[Any]) -> dict[str, Any]:
    if content.dtype != np.uint8 or len(content) > _FACTS_BYTES:
        raise ArrayError(f"its facts are {len(content):,} x {content.dtype}, no text of bncli's")
    try:
        document = json.loads(content.tobytes())
    except (ValueError, RecursionError) as error:
        raise ArrayError("its facts are no JSON; make it anew") from error
    if not isinstance(document, dict) or "format" not in document:
        raise ArrayError("its facts name no format: it is no stats.npz")
    version = document.pop("format")
    if version != FORMAT:
        raise ArrayError(f"its format is {version!r:.40}, but this bncli reads {FORMAT}")
    return document


def _checked(document: dict[str, Any]) -> Facts:
    """The facts of a document, each found possible."""
    wanted = {field.name for field in fields(Facts)}
    for name in sorted(wanted ^ document.keys()):
        raise ArrayError(
            f"its facts {'lack' if name in wanted else 'hold an unknown'} {name!r:.40}"
        )
    for name in ("shape", "resize"):
        if isinstance(document[name], list):
            document[name] = tuple(document[name])
    known = isinstance(document["dtype"], str) and document["dtype"] in _PLANES
    _demand(known, "dtype", document["dtype"])
    units = _UNITS.get(document["dtype"], (1.0,))
    possible = {
        "count": _is_count(document["count"]),
        "shape": _is_size(document["shape"], 3),
        "unit": isinstance(document["unit"], float) and document["unit"] in units,
        "channel_order": document["channel_order"] in _CHANNEL_ORDERS,
        "orientation": document["orientation"] == "upright",
        "mode": document["mode"] in _MODES,
        "alpha": document["alpha"] in _ALPHAS,
        "resize": document["resize"] is None or _is_size(document["resize"], 2),
        "eps": _is_number(document["eps"]) and document["eps"] > 0,
        "ddof": document["ddof"] in (0, 1) and type(document["ddof"]) is int,
        "gamma": _is_number(document["gamma"]) or document["gamma"] in _PARAMETERS,
        "beta": _is_number(document["beta"]) or document["beta"] in _PARAMETERS,
        "running": document["running"] is None or _is_running(document["running"]),
        "bncli": isinstance(document["bncli"], str),
    }
    for name, is_possible in possible.items():
        _demand(is_possible, name, document[name])
    running = document.pop("running")
    return Facts(**document, running=None if running is None else Running(**running))


def _demand(condition: bool, name: str, value: object) -> None:
    if not condition:
        raise ArrayError(f"its {name} cannot be {value!r:.60}; it is damaged or not bncli's")


def _is_number(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return type(value) is int and 1 <= value < 1 << 40


def _is_size(value: object, axes: int) -> bool:
    return isinstance(value, tuple) and len(value) == axes and all(map(_is_count, value))


def _is_running(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"momentum", "batch_size"}
        and _is_count(value["batch_size"])
        and (value["momentum"] is None or _is_momentum(value["momentum"]))
    )


def _is_momentum(value: Any) -> bool:
    return _is_number(value) and 0 < value <= 1
