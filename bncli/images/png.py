"""PNG containers: a fast writer, and the check of chunk checksums that Pillow leaves out.

Format: "Portable Network Graphics (PNG) Specification", W3C, third edition.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bncli.errors import ImageError
from bncli.images.metadata import Metadata

try:  # the extra `fast`: Intel's ISA-L, four to eight times as fast as zlib at the same size
    import isal
    from isal import isal_zlib
except ImportError:
    isal_zlib = None  # type: ignore[assignment]

Bytes2D = NDArray[np.uint8]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Channels -> PNG colour type: grey, grey with alpha, RGB, RGBA."""

_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip
"""First column, first row and the steps of both, of each pass of an interlaced PNG."""

_METRES_PER_INCH = 0.0254
_PIECE = 1 << 20
_HEAD = 16
_RECIPE = 2
"""Of a PNG file; another number with every change of how rows are filtered and packed."""

_SUB, _UP, _AVERAGE = 1, 2, 3
_SAMPLE_ROWS = 16
_SAMPLE_BANDS = 4


def encode_png(
    pixels: NDArray[Any], icc: bytes | None = None, metadata: Metadata | None = None
) -> bytes:
    """The bytes of a PNG file.

    Args:
        pixels: (h, w, channels), uint8 or uint16; 1 to 4 channels are grey, grey with alpha, RGB,
            RGBA.
        icc: a colour profile to carry along.
        metadata: what else is to be carried along.
    """
    height, width, channels = pixels.shape
    depth = 8 * pixels.dtype.itemsize
    big_endian = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">"))
    rows: Bytes2D = big_endian.reshape(height, -1).view(np.uint8)
    step = channels * pixels.dtype.itemsize
    filtered = _filtered(rows, step, _best_filter(rows, step))
    header = struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [_chunk(b"IHDR", header)]
    if icc is not None:
        chunks.append(_chunk(b"iCCP", b"icc\0\0" + zlib.compress(icc)))
    if metadata is not None:
        chunks += _metadata_chunks(metadata)
    chunks += [_chunk(b"IDAT", _deflate(filtered)), _chunk(b"IEND", b"")]
    return b"".join([_SIGNATURE, *chunks])


def _metadata_chunks(metadata: Metadata) -> Iterator[bytes]:
    if metadata.dpi is not None:
        across, down = (round(dpi / _METRES_PER_INCH) for dpi in metadata.dpi)
        yield _chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if metadata.exif:
        yield _chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        yield _chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + metadata.xmp)


def encoder_name() -> str:
    """The compressor in use, which decides the bytes of a PNG, though not its pixels."""
    return "isal" if isal_zlib is not None else "zlib"


def encoder_version() -> str:
    """Whatever decides the bytes of a file: compressors with versions, recipe, and a sample.

    The sample is a digest of what the compressor makes of known bytes, for the same version has
    other code, and writes other bytes, on another kind of processor.
    """
    profiles = f"zlib {zlib.ZLIB_RUNTIME_VERSION}"  # colour profiles are always packed by zlib
    packer = profiles if isal_zlib is None else f"isal {isal.__version__}, {profiles}"
    numbers = np.arange(1 << 14, dtype=np.uint32)
    known = (numbers * numbers >> 9).astype(np.uint8).reshape(128, -1)
    sample = zlib.crc32(_deflate(known))
    return f"{packer}, recipe {_RECIPE}, sample {sample:08x}"


def check_chunks(content: bytes) -> None:
    """Walk the chunks of a PNG file up to IEND.

    Raises:
        ImageError: a checksum is wrong, or the file ends early.
    """
    position = len(_SIGNATURE)
    while True:
        if position + 12 > len(content):
            raise ImageError("it ends in the middle, truncated or damaged; fetch or save it anew")
        (length,) = struct.unpack_from(">I", content, position)
        kind = content[position + 4 : position + 8]
        end = position + 8 + length
        if end + 4 > len(content):
            raise ImageError("it ends in the middle, truncated or damaged; fetch or save it anew")
        checksum = zlib.crc32(memoryview(content)[position + 4 : end])
        if checksum != struct.unpack_from(">I", content, end)[0]:
            name = repr(kind)[2:-1]  # a damaged one may hold any byte
            raise ImageError(
                f"the checksum of its {name} chunk is wrong: it is damaged; save it anew"
            )
        if kind == b"IEND":
            return
        position = end + 4


def check_rows(content: bytes) -> None:
    """Unpack the pixels of a PNG file with sound chunks and count them.

    Raises:
        ImageError: rows are missing.
    """
    packed = zlib.decompressobj()
    present, position = 0, len(_SIGNATURE)
    while content[position + 4 : position + 8] != b"IEND":
        (length,) = struct.unpack_from(">I", content, position)
        if content[position + 4 : position + 8] == b"IDAT":
            rest = memoryview(content)[position + 8 : position + 8 + length]
            while len(rest) and not packed.eof:
                present += len(packed.decompress(rest, _PIECE))
                rest = memoryview(packed.unconsumed_tail)
        position += 12 + length
    present += len(packed.flush())
    if present < _unpacked_size(content):
        raise ImageError("rows of pixels are missing: it is incomplete; fetch or save it anew")


def _unpacked_size(content: bytes) -> int:
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", content, 16)
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    size = 0
    for x, y, dx, dy in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((x - width) // dx), -((y - height) // dy)
        if columns > 0:
            size += max(0, rows) * (1 + (columns * bits + 7) // 8)
    return size


def late_exif(file: BinaryIO) -> bytes | None:
    """The EXIF block of a PNG file that stands after its pixels; the file stays where it is."""
    before = file.tell()
    position = len(_SIGNATURE)
    found = None
    while True:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":  # noqa: PLR2004 - length and kind
            break
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"eXIf":
            found = file.read(length)
            break
        position += 12 + length
    file.seek(before)
    return found


def _filtered(rows: Bytes2D, step: int, kind: int) -> Bytes2D:
    """Rows with their filter byte in front, (h, 1 + row bytes).

    Args:
        rows: (h, row bytes).
        step: bytes of one pixel.
        kind: the filter: each byte less its left neighbour, less the one above, or less the mean of
            both, rounded down; neighbours outside the picture are 0.
    """
    out = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    out[:, 0] = kind
    body = out[:, 1:]
    if kind == _UP:
        body[0] = rows[0]
        np.subtract(rows[1:], rows[:-1], out=body[1:])
    elif kind == _SUB:
        body[:, :step] = rows[:, :step]
        np.subtract(rows[:, step:], rows[:, :-step], out=body[:, step:])
    else:
        left, above = rows[1:, :-step], rows[:-1, step:]
        # The mean of two bytes without leaving eight bits: what they share, and half the rest.
        body[1:, step:] = rows[1:, step:] - ((left & above) + ((left ^ above) >> 1))
        body[1:, :step] = rows[1:, :step] - (rows[:-1, :step] >> 1)
        body[0, :step] = rows[0, :step]
        body[0, step:] = rows[0, step:] - (rows[0, :-step] >> 1)
    return out


def _best_filter(rows: Bytes2D, step: int) -> int:
    """The filter that makes some bands of the picture smallest: the wrong one may double it."""
    stride = max(_SAMPLE_ROWS, len(rows) // _SAMPLE_BANDS)

    def size(kind: int) -> int:
        bands = []
        for start in range(0, len(rows), stride):
            # With the row above it, which is then left out: it would be the only one unfiltered.
            first = max(0, start - 1)
            band = _filtered(rows[first : start + _SAMPLE_ROWS], step, kind)
            bands.append(band[start - first :])
        return len(_deflate(np.concatenate(bands)))

    return min((_AVERAGE, _SUB, _UP), key=size)


def _zlib_deflate(data: Bytes2D) -> bytes:
    # Filtered photographs hold few repeats but runs, and looking for runs alone is 3 times faster.
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return packer.compress(data.data) + packer.flush()


def _isal_deflate(data: Bytes2D) -> bytes:
    # ISA-L (2.32.1 at least) hashes one of the first places of a stream by the address of its own
    # state in place of the data (igzip_icf_body_h1_gr_bt.asm, .write_first_byte), so the bytes
    # hang on the stack of the thread. What is too short for that code takes another way, which is
    # sound, and the rest does not come by that place again. Levels above 1 differ between CPUs.
    packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, isal_zlib.MAX_WBITS)
    content = data.data.cast("B")
    head: bytes = packer.compress(content[:_HEAD]) + packer.flush(isal_zlib.Z_SYNC_FLUSH)
    return head + packer.compress(content[_HEAD:]) + packer.flush()


_deflate: Callable[[Bytes2D], bytes] = _zlib_deflate if isal_zlib is None else _isal_deflate


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return b"".join([struct.pack(">I", len(body)), kind, body, struct.pack(">I", checksum)])
