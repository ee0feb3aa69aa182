"""The formats that results are written in: all that is known of one stands in its row.

The command line reads the names, so neither numpy nor an encoder is loaded before something is
encoded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bncli.errors import OptionError, OutputError
from bncli.packed import Lazily, Numbered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bncli.images.layout import Shape
    from bncli.images.metadata import Metadata

Encode = Callable[
    ["NDArray[Any]", "NDArray[Any] | None", "Shape", bytes | None, "Metadata | None"], bytes
]
"""Values (pixels,), alpha (h * w,) or None, shape (w, h, c), colour profile and metadata to a
whole file."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format of results.

    Attributes:
        name: as the user says it.
        suffix: of its files; empty where all pictures are rows of one .npy array.
        levels: dtypes of the pixel values that y becomes; empty where it holds y itself, and any
            numbers.
        stores: the dtype that numbers are rounded to when they are written; None for their own.
        alpha: whether it has a place for an alpha channel that is copied through.
        most_channels: of a picture; None for any.
        work: bytes of one pixel of a picture that is being written, and how many more for each byte
            of its values.
        encode: makes a file; None where there is one array.
        packer: names the compressor with its version, which decides the bytes; None where numbers
            are written as they are.
    """

    name: str
    suffix: str
    levels: tuple[str, ...]
    stores: str | None
    alpha: bool
    most_channels: int | None
    work: tuple[int, int]
    encode: Encode | None
    packer: Callable[[], str] | None = None

    @property
    def compressed(self) -> bool:
        """Whether files may be smaller than their numbers."""
        return self.packer is not None

    def holds(self, dtype: str) -> bool:
        """Whether it keeps numbers of such a dtype, at least rounded to the one it stores."""
        return not self.levels or dtype in self.levels

    def working_bytes(self, value_bytes: int) -> int:
        """Bytes of one pixel of a picture that is being written, by those of its values."""
        fixed, each = self.work
        return fixed + each * value_bytes


def png_bytes(
    values: NDArray[Any], alpha: NDArray[Any] | None, shape: Shape, icc: bytes | None = None,
    metadata: Metadata | None = None,
) -> bytes:  # fmt: skip
    """A PNG file of the depth of the values, uint8 or uint16."""
    from bncli.images.layout import to_picture
    from bncli.images.png import encode_png

    return encode_png(to_picture(values, alpha, shape), icc, metadata)


def tiff_bytes(
    values: NDArray[Any], alpha: NDArray[Any] | None, shape: Shape, icc: bytes | None = None,
    metadata: Metadata | None = None,
) -> bytes:  # fmt: skip
    """A float32 TIFF file; a colour profile does not fit numbers that are no colours."""
    from bncli.images.layout import to_picture
    from bncli.images.tiff import encode_tiff

    del icc
    return encode_tiff(to_picture(values, alpha, shape), metadata)


def _png_packer() -> str:
    from bncli.images.png import encoder_version

    return encoder_version()


FORMATS = {row.name: row for row in (
    Format("png", ".png", levels=("uint8", "uint16"), stores=None, alpha=True, most_channels=4,
           work=(0, 8), encode=png_bytes, packer=_png_packer),
    Format("tiff", ".tiff", levels=(), stores="float32", alpha=True, most_channels=4,
           work=(24, 0), encode=tiff_bytes),
    Format("npy", "", levels=(), stores=None, alpha=False, most_channels=None,
           work=(24, 0), encode=None),
)}  # fmt: skip
"""Name -> format; the first that holds the numbers is the one that ``auto`` takes."""


def format_holding(dtype: str, *, one_array: bool) -> Format:
    """The first format that holds such numbers, as files or as rows of one array."""
    return next(f for f in FORMATS.values() if (not f.suffix) == one_array and f.holds(dtype))


def output_name(name: str, format_name: str) -> str:
    """The output of a picture: its relative path with the new suffix; frame 3 of a.gif is a-3."""
    stem, mark, frame = name.rpartition("#")
    numbered = bool(mark) and frame.isascii() and frame.isdigit()
    folder, slash, last = (stem if numbered else name).rpartition("/")
    bare = last.rpartition(".")[0] or last
    number = f"-{frame}" if numbered else ""
    return f"{folder}{slash}{bare}{number}{FORMATS[format_name].suffix}"


def check_writable(fmt: Format, channels: int, alpha_kept: bool) -> None:
    """Find that pictures fit into a format.

    Args:
        fmt: the format.
        channels: of each picture, without an alpha channel that is copied through.
        alpha_kept: whether some picture has such a one.

    Raises:
        OptionError: they do not.
    """
    if alpha_kept and not fmt.alpha:
        raise OptionError(
            f"--format {fmt.name} has no place for the alpha channel of the pictures; choose "
            "--alpha drop or --alpha normalize, or another format"
        )
    if fmt.most_channels is not None and channels > fmt.most_channels:
        raise OptionError(
            f"--format {fmt.name}: the pictures have {channels} channels, and "
            f"picture files at most {fmt.most_channels}; choose --format npy"
        )


def picture_names(fmt: Format, names: Sequence[str]) -> Sequence[str]:
    """The file of each picture, all different; none for one array.

    Raises:
        OutputError: two pictures would be written to one file.
    """
    if not fmt.suffix:
        return ()
    outputs = Lazily(lambda index: output_name(names[index], fmt.name), len(names))
    if len(Numbered(outputs)) == len(outputs):
        return outputs
    sharing = defaultdict(list)
    for name, output in zip(names, outputs, strict=True):
        sharing[output].append(name)
    shared = {output: names for output, names in sharing.items() if len(names) > 1}
    raise OutputError(
        *(
            f"{' and '.join(names)}: all would be written to {output}; rename them or "
            "choose --format npy"
            for output, names in shared.items()
        ),
        paths=tuple(name for names in shared.values() for name in names),
    )
