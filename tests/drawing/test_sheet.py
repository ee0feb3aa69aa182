"""The contact sheet: labels that fit and are safe, pictures where they belong."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers, text
from PIL import Image, ImageFont

from bncli.drawing.gallery import PlaneView
from bncli.drawing.sheet import Sheet, contact_sheet, drawable, elided
from bncli.drawing.thumbnails import Range

FONT = ImageFont.load_default(13)
RED, GREEN, GREY = (200, 16, 16), (16, 160, 16), 90


@given(name=text(max_size=40))
def test_labels_are_drawable(name):
    """Any text becomes characters that the font has: one line, nothing that turns its direction."""
    shown = drawable(name, FONT)

    assert all(c.isprintable() for c in shown)
    missing = bytes(FONT.getmask("\uffff"))
    assert all(bytes(FONT.getmask(c)) != missing for c in shown if c != " ")
    if name.isascii() and name.isprintable():
        assert shown == name


def test_what_the_font_lacks_is_escaped():
    """Other scripts, control and bidi characters and stray bytes are shown as escapes."""
    shown = drawable("日\u202e\n\udcff.png", FONT)
    assert shown == r"\u65e5\u202e\n\xff.png"


@given(name=text("abcdefgh .", min_size=1, max_size=120), room=integers(40, 400))
def test_long_labels_are_elided_in_the_middle(name, room):
    """A label is never wider than its room, and keeps both ends of the name."""
    short = elided(name, FONT, room)

    assert FONT.getlength(short) <= room
    if short != name:
        begin, _, end = short.partition("...")
        assert name.startswith(begin)
        assert name.endswith(end)
        assert abs(len(begin) - len(end)) <= 1 + end.count("...") * 3
    else:
        assert FONT.getlength(name) <= room


def plain(colour, height, width):
    return np.full((height, width, np.size(colour)), colour, np.uint8)


def sheet(count=8, height=40, width=60, title="t", label="name.png"):
    return Sheet(
        title=title,
        facts=["some", "facts"],
        labels=[label] * count,
        rows={"original": [plain(RED, height, width)] * count,
              "normalized": [plain(GREEN, height, width)] * count},
        legends=[PlaneView("gradient", plain(GREY, height, width), Range(-1, 1), signed=True)],
        planes=[PlaneView("mean", plain(GREY, height, width), Range(0, 1))],
    )  # fmt: skip


def areas(image, colour):
    """Sizes of the axis-parallel pieces of one colour, each as (width, height)."""
    mask = (np.asarray(image) == colour).all(axis=2)
    found = []
    while mask.any():
        y, x = np.unravel_index(mask.argmax(), mask.shape)
        width = int((~mask[y, x:]).argmax()) or mask.shape[1] - x
        height = int((~mask[y:, x]).argmax()) or mask.shape[0] - y
        assert mask[y : y + height, x : x + width].all(), "pictures overlap"
        mask[y : y + height, x : x + width] = False
        found.append((width, height))
    return found


@pytest.mark.parametrize(
    ("count", "height", "width"),
    [(8, 40, 60), (2, 1, 1), (3, 1000, 3), (5, 3, 1000), (8, 300, 400), (1, 5, 5)],
)
def test_every_picture_is_there_once(count, height, width):
    """As many pictures as columns in every row, of one size, apart from each other, none cut."""
    image = Image.open(io.BytesIO(contact_sheet(sheet(count, height, width))))

    assert image.mode == "RGB"
    for colour in (RED, GREEN):
        drawn = areas(image, colour)
        assert len(drawn) == count
        assert len(set(drawn)) == 1
        shown, expected = drawn[0][0] / drawn[0][1], width / height
        if 0.1 < expected < 10:
            assert abs(shown / expected - 1) < 0.02
    assert image.width <= 1800
    edges = np.asarray(image)
    assert (edges[:16] == edges[0, 0]).all()
    assert (edges[:, -16:] == edges[0, 0]).all()


def test_a_long_name_stays_in_its_column():
    """Labels of very long names do not touch those beside them."""
    image = contact_sheet(sheet(4, label="x" * 400))
    short = contact_sheet(sheet(4, label="x"))
    assert Image.open(io.BytesIO(image)).size == Image.open(io.BytesIO(short)).size
