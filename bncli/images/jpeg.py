"""JPEG files that stop early, which libjpeg paints grey from there on, and Pillow says nothing of.

A decoder that meets a marker where it wants bits goes on with zeros; one that meets no marker
waits. So the file is handed to it without its end mark: who still waits then has lacked something.

Format: ITU-T T.81, annexes B (markers), F and G (entropy-coded data).
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from PIL import Image, ImageFile, _imaging

from bncli.errors import ImageError

_END_MARK = b"\xff\xd9"
_ZEROS, _ONES = b"\0", b"\xff\0"
"""Eight bits of entropy-coded data."""

_AHEAD = 8
"""As many bytes as a decoder reads before it needs them."""

_PROBES = 16
"""More than what is read ahead could make up for."""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_MARKER_OR_RESTART = re.compile(rb"\xff[\x01-\xfe]")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_SEGMENT = re.compile(rb"\xff+([\x01-\xfe])")
_SOI, _EOI, _SOS, _DRI, _DHT, _TEM = 0xD8, 0xD9, 0xDA, 0xDD, 0xC4, 0x01
_RESTARTS = range(0xD0, 0xD8)
_HUFFMAN = (0xC0, 0xC1, 0xC2)
"""Frames of lossy Huffman coding. Arithmetic coding may leave out zeros at its end."""

_OTHER_FRAMES = (0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_CODEC = "whole jpeg"
_COEFFICIENTS = 64
_AC = 0x10
_RUN = 0x10
_COUNTS = 17
"""Bytes of a Huffman table before its symbols."""

_LEAST = 6
"""Bytes of a frame or scan of one component."""


class _Scan(NamedTuple):
    """One scan.

    Attributes:
        end: where its data end, from the start of the picture.
        filler: eight bits, of which many make up little of a picture.
        restart: the restart marker that would come next in it, or empty.
    """

    end: int
    filler: bytes
    restart: bytes


@dataclass(slots=True)
class _Layout:
    """What the markers of one picture say.

    Attributes:
        scans: at least one.
        several: whether there are more, so that all are kept until the end mark.
        missing: whether scans are missing, or restart markers within one.
    """

    scans: list[_Scan]
    several: bool
    missing: bool = False


def watch(image: ImageFile.ImageFile, file: io.BytesIO) -> None:
    """See to it that loading an open JPEG picture fails where its data stop early.

    Args:
        image: not yet loaded.
        file: the whole file that it was opened from, whose end is changed.
    """
    tile: Any = image.tile[0]
    layout = _layout(file.getvalue(), tile.offset)
    if layout is None:
        return
    file.truncate(tile.offset + layout.scans[-1].end)
    arguments = (layout, *tile.args)
    image.tile = [tile._replace(codec_name=_CODEC, args=arguments)]
    image.decodermaxblock = len(file.getbuffer())  # all at once: then whoever waits has all


class _WholeJpeg:
    """Pillow's decoder, but it must be done where the data are, before any end mark."""

    pulls_fd = False

    def __init__(self, mode: str, layout: _Layout, *arguments: Any) -> None:
        self._decoder: Any = _imaging.jpeg_decoder(mode, *arguments)
        self._layout = layout
        self.setimage = self._decoder.setimage
        self.cleanup = self._decoder.cleanup

    def decode(self, data: bytes) -> tuple[int, int]:
        """Decode a whole file without its end mark; as PyDecoder.decode."""
        result, start = (0, 0), 0
        for scan in self._layout.scans:
            part = data[start : scan.end] + _AHEAD * scan.filler
            result, start = self._decoder.decode(part), scan.end
            if result[0] < 0:
                break
            waits = result[0] == len(part) and self._layout.several and self._between_scans(scan)
            if not waits:
                _premature()
        if result[1] < 0:
            return result
        if self._layout.missing:
            _premature()
        done: tuple[int, int] = result if result[0] < 0 else self._decoder.decode(_END_MARK)
        return done

    def _between_scans(self, scan: _Scan) -> bool:
        """Whether it looks for a marker, and so passes over all else; within a scan it waits."""
        probes = [scan.filler] * _PROBES
        if scan.restart:  # which is what it may look for
            probes += [scan.restart, *probes]
        return all(self._decoder.decode(probe)[0] == len(probe) for probe in probes)


Image.register_decoder(_CODEC, _WholeJpeg)  # type: ignore[arg-type]


def _premature() -> NoReturn:
    raise ImageError(
        "premature end of its JPEG data: a part of the picture is missing; fetch or save it anew"
    )


def _layout(content: bytes, start: int) -> _Layout | None:
    """What the markers of the picture at *start* say; None: nothing that is known here."""
    depths: dict[int, list[int | None]] = {}
    interval, position, layout = 0, start, _Layout([], several=False)
    zeros: dict[int, int] = {}
    while (segment := _segment(content, position)) is not None:
        kind, body, position = segment
        if kind in _OTHER_FRAMES or (kind == _SOS and not depths):
            return None
        if kind in _HUFFMAN:
            components = {body[place] for place in range(6, len(body) - 2, 3)}
            depths = {component: [None] * _COEFFICIENTS for component in components}
            layout.several = kind == _HUFFMAN[-1]
        elif kind == _DRI:
            interval = int.from_bytes(body[:2], "big")
        elif kind == _DHT:
            zeros |= _meaning_of_zeros(body)
        elif kind == _SOS:
            scanned, (first, last, depth) = body[1:-3:2], body[-3:]
            for component in scanned:
                coefficients = depths.setdefault(component, [None] * _COEFFICIENTS)
                coefficients[first : last + 1] = [depth & 15] * (last + 1 - first)
            layout.several |= len(scanned) < len(depths)
            scan, layout.missing = _scan(content, position, interval, _filler(zeros))
            layout.scans.append(scan._replace(end=scan.end - start))
            if layout.missing or not layout.several:
                return layout
            position = scan.end
    layout.missing = any(depth != 0 for each in depths.values() for depth in each)
    return layout if layout.scans else None


def _segment(content: bytes, start: int) -> tuple[int, bytes, int] | None:
    """Kind, body and end of the first marker segment from *start* on; None at the end mark."""
    position = start
    while (match := _SEGMENT.search(content, position)) is not None and match[1][0] != _EOI:
        kind, position = match[1][0], match.end()
        if kind in {_SOI, _TEM} or kind in _RESTARTS:
            continue
        after = position + int.from_bytes(content[position : position + 2], "big")
        body = content[position + 2 : after]
        too_short = len(body) < _LEAST and kind in {_SOS, *_HUFFMAN}
        return None if too_short else (kind, body, after)
    return None


def _meaning_of_zeros(tables: bytes) -> dict[int, int]:
    """The symbol of the code that is zeros alone, of each table of AC coefficients."""
    found, position = {}, 0
    while position + _COUNTS < len(tables):
        if tables[position] & _AC:
            found[tables[position]] = tables[position + _COUNTS]
        position += _COUNTS + sum(tables[position + 1 : position + _COUNTS])
    return found


def _filler(zeros: Mapping[int, int]) -> bytes:
    """Zeros, where they are coefficients one after another; they may end blocks, or runs of such.

    No code is of ones alone: 17 of them are a fault, which libjpeg takes for the end of a block.
    """
    return _ZEROS if all(1 <= symbol < _RUN for symbol in zeros.values()) else _ONES


def _scan(content: bytes, start: int, interval: int, filler: bytes) -> tuple[_Scan, bool]:
    """One scan, whose data begin at *start*; and whether restart markers are missing."""
    match = (_MARKER if interval else _MARKER_OR_RESTART).search(content, start)
    end = len(content) if match is None else match.start()
    if not interval:
        return _Scan(end, filler, b""), False
    found = b"".join(_RESTART.findall(content, start, end))
    wanted = bytes(_RESTARTS) * (len(found) // len(_RESTARTS) + 1)
    following = b"\xff" + bytes([_RESTARTS[len(found) % len(_RESTARTS)]])
    return _Scan(end, filler, following), not wanted.startswith(found)
