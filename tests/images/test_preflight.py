"""The pictures of a batch must fit together; who does not is told at once."""

from __future__ import annotations

import numpy as np
import pytest
from images.handmade import png, png_header
from PIL import Image

from bncli.errors import ImageError, LimitError


@pytest.fixture
def batch_of(tmp_path):
    """Make pictures of (mode, size) pairs, a0.png and so on."""

    def make(*kinds):
        paths = []
        for number, (mode, size) in enumerate(kinds):
            path = tmp_path / f"a{number}.png"
            Image.new(mode, size).save(path)
            paths.append(path)
        return paths

    return make


def assert_refused_lines(gather, paths, kind=ImageError, **policy):
    with pytest.raises(kind) as caught:
        gather(paths, **policy)
    assert type(caught.value) is kind
    return caught.value.lines


def test_pictures_that_agree(batch_of, gather):
    """Equal pictures are a batch in the order given."""
    images = gather(batch_of(("RGB", (7, 5)), ("RGB", (7, 5))))

    assert list(images.names) == ["a0.png", "a1.png"]
    assert images.shape == (7, 5, 3)
    assert images.faults == ()


def test_sizes_disagree(batch_of, gather):
    """The odd one is named, with its size, the size of most and the remedy."""
    (line,) = assert_refused_lines(
        gather, batch_of(*[("L", (7, 5))] * 2, ("L", (5, 7)), ("L", (7, 5)))
    )

    assert line == (
        "a2.png: it is of size 5x7, but 3 of 4 are of size 7x5; "
        "choose --resize WxH, or move it out of the folder"
    )


def test_modes_disagree(batch_of, gather):
    """A grey among colours is named with the remedy, and --mode is one."""
    paths = batch_of(("L", (7, 5)), *[("RGB", (7, 5))] * 2)

    (line,) = assert_refused_lines(gather, paths)

    assert line.startswith("a0.png: it is of mode L, but 2 of 3 are of mode RGB; choose --mode")
    assert gather(paths, mode="RGB").shape == (7, 5, 3)
    assert gather(paths, mode="L").shape == (7, 5, 1)


def test_depths_disagree(batch_of, gather):
    """Pictures of two depths are no batch in any mode."""
    paths = batch_of(("L", (7, 5)), *[("I;16", (7, 5))] * 2)

    for mode in ("keep", "L", "RGB"):
        (line,) = assert_refused_lines(gather, paths, mode=mode)
        assert line.startswith("a0.png: it is of uint8, but 2 of 3 are of uint16; convert")


def test_alpha_disagrees_only_when_normalized(batch_of, gather):
    """Alpha that is copied or dropped need not be everywhere; as a channel it must."""
    paths = batch_of(("RGBA", (7, 5)), *[("RGB", (7, 5))] * 2)

    assert gather(paths).shape == (7, 5, 3)
    assert gather(paths, alpha="drop").shape == (7, 5, 3)
    (line,) = assert_refused_lines(gather, paths, alpha="normalize")
    assert line.startswith("a0.png: it is with alpha, but 2 of 3 are without alpha; choose --alpha")


def test_the_first_kind_wins_a_draw(batch_of, gather):
    """Of two equally frequent sizes the first one counts as usual, and no majority is claimed."""
    (line,) = assert_refused_lines(gather, batch_of(("L", (7, 5)), ("L", (5, 7))))

    assert line == (
        "a1.png: it is of size 5x7, but 1 of 2 are of size 7x5, like a0.png, the first, and no "
        "more of any other; choose --resize WxH, or move it out of the folder"
    )


def test_resize_settles_sizes(batch_of, gather):
    """With --resize, sizes need not agree."""
    images = gather(batch_of(("L", (7, 5)), ("L", (5, 7))), resize=(4, 3))

    assert images.shape == (4, 3, 1)
    assert [images.picture(i).read().values.shape for i in (0, 1)] == [(12,), (12,)]


def test_all_faults_at_once(batch_of, gather, write):
    """Broken files and disagreements are reported together, a line each."""
    paths = [*batch_of(("L", (7, 5)), ("L", (7, 5)), ("RGB", (7, 5)), ("L", (5, 7)))]
    paths += [write(b"", "empty.png"), write(png_header(60_000, 60_000), "bomb.png")]

    lines = assert_refused_lines(gather, paths)

    assert sorted(line.partition(":")[0] for line in lines) == [
        "a2.png", "a3.png", "bomb.png", "empty.png",
    ]  # fmt: skip


def test_at_most_twenty_lines(gather, write, tmp_path):
    """Of many faults twenty are listed and the rest counted; the paths name them all."""
    paths = [write(b"", f"{number}.png") for number in range(23)]

    with pytest.raises(ImageError) as caught:
        gather(paths)

    assert len(caught.value.lines) == 21
    assert caught.value.lines[-1] == "and 3 more of 23 files"
    assert len(caught.value.paths) == 23


def test_twenty_faults_need_no_count(gather, write):
    """Exactly twenty faults are twenty lines."""
    assert (
        len(assert_refused_lines(gather, [write(b"", f"{number}.png") for number in range(20)]))
        == 20
    )


def test_only_too_many_pixels_is_a_limit(batch_of, gather):
    """When all that is wrong is size, the error is of the kind that a larger limit mends."""
    assert_refused_lines(
        gather, batch_of(("L", (7, 5)), ("L", (7, 5))), kind=LimitError, max_pixels=34
    )


def test_skip_leaves_the_faulty_out(batch_of, gather, write):
    """On request the rest is the batch, and the faults are kept to be told."""
    paths = [*batch_of(*[("L", (7, 5))] * 2, ("L", (5, 7))), write(b"", "empty.png")]

    images = gather(paths, skip=True)

    assert list(images.names) == ["a0.png", "a1.png"]
    assert {fault.name for fault in images.faults} == {"a2.png", "empty.png"}


def test_nothing_left_to_skip_to(gather, write):
    """If every file is faulty, skipping does not help."""
    assert_refused_lines(gather, [write(b"", "a.png"), write(b"x", "b.png")], skip=True)


@pytest.mark.parametrize(
    ("depth", "unit"), [(8, 255.0), (16, 65535.0)]
)  # fmt: skip
def test_unit(write, gather, depth, unit):
    """White is 1 in value scale."""
    assert gather([write(png(np.zeros((5, 7)), "grey", depth))]).unit == unit
