"""The contact sheet of a run: small pictures in rows and columns, with labels, as one PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bncli.drawing.gallery import Gallery, Picture, PlaneView
from bncli.drawing.thumbnails import signed_colours
from bncli.images.formats import FORMATS
from bncli.text import escaped

_PAPER, _FRAME = (247, 247, 245), (205, 205, 200)
_INK, _FAINT = (28, 28, 30), (96, 96, 100)
_MARGIN, _GAP, _PAD = 32, 14, 8
_AREA, _SHORTEST, _LONGEST, _WIDEST = 192 * 144, 84, 560, 1760
_THINNEST, _LOWEST = 6, 24
_LABEL, _TEXT, _TITLE = 13, 14, 24
_LINE = 20
_BAR = 10
_MISSING = "\uffff"


def draw_sheet(gallery: Gallery, document: Mapping[str, Any], _command: str) -> bytes:
    """The bytes of a PNG file."""
    pictures, gradients = gallery.pictures, gallery.gradients
    names = [f"{seen.position + 1}  {gallery.subject.names[seen.position]}" for seen in pictures]
    rows = {
        "original": [seen.before for seen in pictures if seen.before is not None],
        "normalized": [seen.after for seen in pictures if seen.after is not None],
    }
    if gradients:
        rows["grad_input"] = [view.picture for view in gradients]
    return contact_sheet(
        Sheet(
            title=_title(document),
            facts=_facts(document, len(pictures)),
            labels=names,
            rows=rows,
            legends=gradients[:1],
            planes=gallery.planes,
        )
    )


def scale_words(document: Mapping[str, Any]) -> str:
    """How y became pixel values."""
    scale = document["scale"]
    if scale is None or not FORMATS[scale["format"]].levels:
        return "scale: y as it is"
    if scale["low"] is None:
        return f"scale {scale['kind']}: the range of y of each picture"
    return f"scale {scale['kind']}: y {scale['low']:.6g} is black, {scale['high']:.6g} white"


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a contact sheet shows.

    Attributes:
        title: one line; and facts: some smaller ones.
        labels: of the columns, a picture of the batch each; any text.
        rows: name -> one picture for each column.
        legends: of the rows whose colours have a meaning, one plane of each.
        planes: of the whole batch.
    """

    title: str
    facts: Sequence[str]
    labels: Sequence[str]
    rows: Mapping[str, Sequence[Picture]]
    legends: Sequence[PlaneView]
    planes: Sequence[PlaneView]


def contact_sheet(sheet: Sheet) -> bytes:
    """The bytes of a PNG file."""
    paper = _Paper(sheet)
    image = Image.new("RGB", paper.size, _PAPER)
    paper.draw(image)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Box:
    """How large a picture is drawn, and in what space."""

    width: int
    height: int

    @classmethod
    def of(cls, picture: Picture) -> Box:
        """The space of pictures of this shape: of one area, unless that is far too long."""
        aspect = picture.shape[1] / picture.shape[0]
        width, height = math.sqrt(_AREA * aspect), math.sqrt(_AREA / aspect)
        box = cls(*(round(min(max(side, _SHORTEST), _LONGEST)) for side in (width, height)))
        # A label needs its width, but nothing needs the height that a picture leaves empty.
        return cls(box.width, max(_LOWEST, min(box.height, box.fitted(picture)[1])))

    def fitted(self, picture: Picture) -> tuple[int, int]:
        """Width and height at which the picture fills it, of its proportions."""
        height, width = picture.shape[:2]
        factor = min(self.width / width, self.height / height)
        return max(_THINNEST, round(width * factor)), max(_THINNEST, round(height * factor))


class _Paper:
    """Where everything of a sheet goes."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.fonts = {size: _font(size) for size in (_LABEL, _TEXT, _TITLE)}
        self.box = Box.of(next(iter(sheet.rows.values()))[0])
        self.step = self.box.width + _GAP
        self.names = max(self._length(name, _TEXT) for name in sheet.rows) + 2 * _PAD
        fitting = max(1, (_WIDEST - 2 * _MARGIN - self.names) // self.step)
        self.bands = math.ceil(len(sheet.labels) / fitting)
        self.columns = math.ceil(len(sheet.labels) / self.bands)
        self.planes = max(1, min(len(sheet.planes), self.columns, 4))
        self.top = _MARGIN + 36 + _LINE * len(sheet.facts) + _GAP
        self.band = _LINE + len(sheet.rows) * (self.box.height + _GAP) + _GAP
        self.plane = self.box.height + 3 * _LINE + _BAR + _GAP + _PAD
        self.legend = (_BAR + 2 * _LINE) * bool(sheet.legends)

    @property
    def size(self) -> tuple[int, int]:
        """Of the whole, in pixels."""
        across = max(self.columns, self.planes)
        widest = max(self._length(fact, _TEXT) for fact in self.sheet.facts)
        widest = max(widest, self._length(self.sheet.title, _TITLE))
        width = max(self.names + across * self.step - _GAP, min(widest, _WIDEST - 2 * _MARGIN))
        lines = math.ceil(len(self.sheet.planes) / self.planes)
        height = self.top + self.bands * self.band + self.legend + lines * self.plane
        return width + 2 * _MARGIN, height + _MARGIN

    def draw(self, image: Image.Image) -> None:
        """Draw everything."""
        pen = ImageDraw.Draw(image)
        room = image.width - 2 * _MARGIN
        self._write(pen, (_MARGIN, _MARGIN), self.sheet.title, _TITLE, room)
        for line, fact in enumerate(self.sheet.facts):
            place = (_MARGIN, _MARGIN + 36 + line * _LINE)
            self._write(pen, place, fact, _TEXT, room, _FAINT)
        for band in range(self.bands):
            self._draw_band(image, pen, band)
        self._draw_legends(image, pen)
        self._draw_planes(image, pen)

    def _draw_band(self, image: Image.Image, pen: ImageDraw.ImageDraw, band: int) -> None:
        top = self.top + band * self.band
        first = band * self.columns
        labels = self.sheet.labels[first : first + self.columns]
        for column, label in enumerate(labels):
            left = _MARGIN + self.names + column * self.step
            self._write(pen, (left, top), label, _LABEL, self.box.width)
        for line, (name, pictures) in enumerate(self.sheet.rows.items()):
            y = top + _LINE + line * (self.box.height + _GAP)
            middle = y + self.box.height // 2 - _TEXT // 2
            self._write(pen, (_MARGIN, middle), name, _TEXT, self.names, _FAINT)
            for column, picture in enumerate(pictures[first : first + len(labels)]):
                left = _MARGIN + self.names + column * self.step
                self._paste(image, pen, picture, left, y)

    def _draw_legends(self, image: Image.Image, pen: ImageDraw.ImageDraw) -> None:
        top = self.top + self.bands * self.band
        for view in self.sheet.legends:
            self._write(pen, (_MARGIN, top), view.name, _TEXT, self.names, _FAINT)
            left = _MARGIN + self.names
            self._draw_legend(image, pen, view, (left, top + 4))

    def _draw_planes(self, image: Image.Image, pen: ImageDraw.ImageDraw) -> None:
        start = self.top + self.bands * self.band + self.legend
        self._write(pen, (_MARGIN, start + _LINE + self.box.height // 2 - _TEXT // 2),
                    "batch", _TEXT, self.names, _FAINT)  # fmt: skip
        for index, plane in enumerate(self.sheet.planes):
            top = start + index // self.planes * self.plane
            left = _MARGIN + self.names + index % self.planes * self.step
            self._write(pen, (left, top), plane.name, _LABEL, self.box.width)
            self._paste(image, pen, plane.picture, left, top + _LINE)
            bar = top + _LINE + self.box.height + _PAD
            self._draw_legend(image, pen, plane, (left, bar))
            place = (left, bar + _BAR + _LINE)
            self._write(pen, place, _remark(plane), _LABEL, self.box.width, _FAINT)

    def _draw_legend(
        self, image: Image.Image, pen: ImageDraw.ImageDraw, view: PlaneView, place: tuple[int, int]
    ) -> None:
        left, top = place
        low, high = f"{view.shown.low:.4g}", f"{view.shown.high:.4g}"
        image.paste(_ramp(view.signed, self.box.width), place)
        pen.rectangle((left - 1, top - 1, left + self.box.width, top + _BAR), outline=_FRAME)
        below = top + _BAR + 3
        self._write(pen, (left, below), low, _LABEL, self.box.width // 2, _FAINT)
        end = left + self.box.width - self._length(high, _LABEL)
        self._write(pen, (end, below), high, _LABEL, self.box.width // 2, _FAINT)

    def _paste(
        self, image: Image.Image, pen: ImageDraw.ImageDraw, picture: Picture, left: int, top: int
    ) -> None:
        width, height = self.box.fitted(picture)
        larger = width > picture.shape[1]
        how = Image.Resampling.NEAREST if larger else Image.Resampling.LANCZOS
        drawn = Image.fromarray(_three(picture)).resize((width, height), how)
        x, y = left + (self.box.width - width) // 2, top + (self.box.height - height) // 2
        image.paste(drawn, (x, y))
        pen.rectangle((x - 1, y - 1, x + width, y + height), outline=_FRAME)

    def _write(
        self, pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, room: int,
        ink: tuple[int, int, int] = _INK,
    ) -> None:  # fmt: skip
        font = self.fonts[size]
        pen.text(place, elided(drawable(text, font), font, room), ink, font)

    def _length(self, text: str, size: int) -> int:
        font = self.fonts[size]
        return math.ceil(float(font.getlength(drawable(text, font))))


def drawable(text: str, font: Any) -> str:
    """*text* with what the font has no glyph for escaped, control and bidi characters too."""
    missing = _mask(_MISSING, font)
    return "".join(
        c if c == " " or (c.isprintable() and _mask(c, font) not in {missing, None}) else escaped(c)
        for c in text
    )


def elided(text: str, font: Any, room: int) -> str:
    """*text* if it is no wider than *room*, else its two ends: names differ at their ends."""
    if font.getlength(text) <= room:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: (kept + 1) // 2]}...{text[-(kept // 2) :]}"
        if font.getlength(short) <= room:
            return short
    return ""


def _mask(character: str, font: Any) -> bytes | None:
    try:
        return bytes(font.getmask(character))
    except UnicodeError:  # the font of a Pillow without FreeType knows Latin-1 alone
        return None


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _ramp(signed: bool, width: int) -> Image.Image:
    steps = np.linspace(-1, 1, width) if signed else np.linspace(0, 255, width)
    line = signed_colours(steps[None], 1.0) if signed else np.rint(steps)[None, :, None]
    return Image.fromarray(_three(np.repeat(line.astype(np.uint8), _BAR, axis=0)))


def _three(picture: Picture) -> Picture:
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))


def _title(document: Mapping[str, Any]) -> str:
    width, height, channels = document["images"]["shape"]
    count, dtype = document["images"]["count"], document["images"]["dtype"]
    noun = "picture" if count == 1 else "pictures"
    return f"{count:,} {noun}, {width}x{height}, {channels} x {dtype}"


def _facts(document: Mapping[str, Any], shown: int) -> list[str]:
    layer = document["layer"]
    words = f"eps {layer['eps']:g}, gamma {layer['gamma']}, beta {layer['beta']}"
    dead, clipped = document["dead_pixels"], document["clipped_values"]
    return [
        f"{words}; {scale_words(document)}",
        f"{dead:,} dead pixels, {clipped:,} clipped values; {shown} pictures shown",
    ]


def _remark(view: PlaneView) -> str:
    return f"largest {view.largest:.4g}" if view.largest > view.shown.high else ""
