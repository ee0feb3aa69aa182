"""From a gallery to the page of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bncli.drawing.chart import Chart, chart
from bncli.drawing.gallery import Gallery, Picture, PlaneView
from bncli.drawing.histogram import Histogram
from bncli.drawing.sheet import scale_words
from bncli.drawing.template import data_address, render
from bncli.drawing.thumbnails import signed_colours
from bncli.images.formats import FORMATS
from bncli.images.png import encode_png

LISTED = 1000
"""Outputs, and skipped files, that a page names; summary.json names them all."""

_SMALLEST = 96
"""Pictures of fewer pixels are shown enlarged."""

_TALL, _WIDE = 1.5, 24
"""Pictures of such proportions would be far too high, or too thin to be seen."""

_CHANNELS = {1: ["L"], 2: ["L", "A"], 3: ["R", "G", "B"], 4: ["R", "G", "B", "A"]}
_BAR = (10, 240)


def draw_page(gallery: Gallery, document: Mapping[str, Any], command: str) -> bytes:
    """The bytes of an HTML file."""
    images, scale = document["images"], document["scale"]
    names = channel_names(images["shape"][2])
    pixels = math.prod(images["shape"])
    values = pixels * images["count"]
    gradients = gallery.gradients
    return render(
        "run.html",
        {
            "document": document,
            "command": command,
            "pixels": pixels,
            "values": values,
            "clipped_share": document["clipped_values"] / values,
            "scale_words": scale_words(document),
            "clips": scale is not None and bool(FORMATS[scale["format"]].levels),
            "channels": list(zip(names, document["channels"], strict=True)),
            "charts": [_chart("x", gallery.x, names), _chart("y", gallery.y, names)],
            "outside": gallery.y.outside,
            "cards": _cards(gallery, gradients),
            "gradient": gradients[0] if gradients else None,
            "planes": [plane_facts(view) for view in gallery.planes],
            "signed_bar": data_address(encode_png(_signed_bar())),
            "skipped": document["skipped"][:LISTED],
            "outputs": document["outputs"][:LISTED],
        },
    )


def channel_names(channels: int) -> list[str]:
    """What the channels are called."""
    return _CHANNELS.get(channels, [str(index) for index in range(channels)])


def picture_facts(picture: Picture) -> dict[str, Any]:
    """An address that holds the picture, its size, and how large it is to be shown."""
    height, width = picture.shape[:2]
    factor = max(1, math.ceil(_SMALLEST / max(width, height)))
    return {
        "address": data_address(encode_png(picture)),
        "width": width * factor,
        "height": height * factor,
        "pixelated": factor > 1,
        "form": "tall"
        if height > _TALL * width
        else "wide-picture"
        if width > _WIDE * height
        else "",
    }


def plane_facts(view: PlaneView) -> dict[str, Any]:
    """A plane, and what its colours mean."""
    return {
        "name": view.name,
        "picture": picture_facts(view.picture),
        "low": view.shown.low,
        "high": view.shown.high,
        "signed": view.signed,
        "largest": view.largest if view.largest > view.shown.high else None,
    }


def _cards(gallery: Gallery, gradients: Sequence[PlaneView]) -> list[dict[str, Any]]:
    slopes: list[dict[str, Any] | None]
    slopes = [picture_facts(view.picture) for view in gradients] or [None] * len(gallery.pictures)
    cards = []
    for seen, slope in zip(gallery.pictures, slopes, strict=True):
        assert seen.before is not None  # noqa: S101 - only those are kept
        assert seen.after is not None  # noqa: S101 - likewise
        cards.append({
            "number": seen.position + 1,
            "name": gallery.subject.names[seen.position],
            "before": picture_facts(seen.before),
            "after": picture_facts(seen.after),
            "gradient": slope,
        })  # fmt: skip
    return cards


def _chart(name: str, histogram: Histogram, names: Sequence[str]) -> Chart:
    lines = names if histogram.series == len(names) else ["all channels"]
    counts = histogram.counts.tolist()
    return chart(name, histogram.low, histogram.high, counts, lines)


def _signed_bar() -> Picture:
    height, width = _BAR
    return signed_colours(np.tile(np.linspace(-1, 1, width), (height, 1)), 1.0)
