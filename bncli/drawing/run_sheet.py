"""From a gallery to a contact sheet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bncli.drawing.contact_sheet import Legend, Sheet, SheetPlane, contact_sheet
from bncli.drawing.gallery import Gallery, PlaneView


def draw_sheet(gallery: Gallery, document: Mapping[str, Any], _command: str) -> bytes:
    """The bytes of a PNG file."""
    pictures, gradients = gallery.pictures, gallery.gradients
    names = [f"{seen.position + 1}  {gallery.subject.names[seen.position]}" for seen in pictures]
    rows = {
        "original": [seen.before for seen in pictures if seen.before is not None],
        "normalized": [seen.after for seen in pictures if seen.after is not None],
    }
    legends = {}
    if gradients:
        rows["grad_input"] = [view.picture for view in gradients]
        legends["grad_input"] = _legend(gradients[0])
    return contact_sheet(
        Sheet(
            title=_title(document),
            facts=_facts(document, len(pictures)),
            labels=names,
            rows=rows,
            legends=legends,
            planes=[
                SheetPlane(view.name, view.picture, _legend(view), _remark(view))
                for view in gallery.planes
            ],
        )
    )


def scale_words(document: Mapping[str, Any]) -> str:
    """How y became pixel values."""
    scale = document["scale"]
    if scale is None or scale["format"] != "png":
        return "scale: y as it is"
    if scale["low"] is None:
        return f"scale {scale['kind']}: the range of y of each picture"
    return f"scale {scale['kind']}: y {scale['low']:.6g} is black, {scale['high']:.6g} white"


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


def _legend(view: PlaneView) -> Legend:
    return Legend(f"{view.shown.low:.4g}", f"{view.shown.high:.4g}", view.signed)


def _remark(view: PlaneView) -> str:
    return f"largest {view.largest:.4g}" if view.largest > view.shown.high else ""
