"""What is read for a check, and the error maps that are written of one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bncli.checking.compare import Quantity
from bncli.checking.question import Request, cost_in_forwards
from bncli.checking.report import GradcheckReport
from bncli.errors import OptionError, OutputError
from bncli.runs import check as checks
from bncli.runs.check import Inputs, prepare_check, write_maps

WHITE, DARKEST, VIOLET = (255, 255, 255), (127, 0, 0), (120, 0, 160)


def with_maps(numeric, analytic, tolerance=1e-8, **maps):
    quantity = Quantity(passed=False, wrong=1, checked=1, total=1, tolerance=tolerance)
    maps |= {"analytic": analytic, "numeric": numeric, "difference": analytic - numeric}
    return GradcheckReport("a layer", "fail", quantities={"grad_input": quantity}, maps=maps)


def shown(report, folder):
    """The pictures written, as (batch, w, h, 3)."""
    names = write_maps(report, folder)
    assert set(names) == {path.name for path in folder.iterdir()}
    pictures = [np.asarray(Image.open(path)) for path in sorted(folder.glob("error_*.png"))]
    return np.stack(pictures).transpose(0, 2, 1, 3)


def test_a_gradient_that_is_wrong_everywhere_is_red_everywhere(tmp_path, rng):
    """Also where all is equally wrong, and by little."""
    right = rng.uniform(1, 2, (2, 5, 3, 1)) * np.array([1.0, -1.0])[:, None, None, None]
    right[:] = np.abs(right).max(axis=0) * np.sign(right)
    for name, factor in (("flipped", -1), ("barely", 1.001)):
        drawn = shown(with_maps(right, factor * right), tmp_path / name).astype(int)
        assert drawn.shape == (2, 5, 3, 3)
        assert (drawn == drawn[0, 0, 0]).all()
        assert (drawn[..., 0] - drawn[..., 2] > 80).all()


def test_every_element_has_its_colour(tmp_path, rng):
    """White is right, dark wrong, grey not asked, violet no number; axis 1 is the width."""
    right = rng.uniform(1, 2, (3, 6, 4, 2))
    given = right.copy()
    given[0, 5, 1, 1] *= -9
    given[1, 2, 3, 0] = np.nan
    right[2, 4, :] = np.nan
    right[0, 0, 0, 0] = np.nan  # its other channel was asked
    drawn = shown(with_maps(right, given), tmp_path / "maps")

    assert tuple(drawn[0, 5, 1]) == DARKEST
    assert tuple(drawn[1, 2, 3]) == VIOLET
    assert len({*map(tuple, drawn[2, 4])}) == 1
    grey = tuple(drawn[2, 4, 0])
    assert len(set(grey)) == 1
    assert grey not in {WHITE, (0, 0, 0)}
    others = np.ones((3, 6, 4), bool)
    others[0, 5, 1] = others[1, 2, 3] = others[2, 4] = False
    assert (drawn[others] == 255).all()


def test_white_is_what_the_verdict_calls_right(tmp_path):
    """Where the maps say what is allowed of each element, that parts red from white."""
    right = np.ones((1, 2, 1, 1))
    given = right + 1e-4
    allowed = np.array([2e-4, 0.5e-4]).reshape(right.shape)
    drawn = shown(with_maps(right, given, allowed=allowed), tmp_path / "maps")
    assert tuple(drawn[0, 0, 0]) == WHITE
    assert drawn[0, 1, 0, 2] < 215


def test_maps_replace_nothing(tmp_path):
    """What is there stays, and nothing is added to it."""
    ones = np.ones((2, 2, 2, 1))
    write_maps(with_maps(ones, -ones), tmp_path / "maps")
    before = {path: path.read_bytes() for path in (tmp_path / "maps").iterdir()}
    with pytest.raises(OutputError):
        write_maps(with_maps(ones, 2 * ones), tmp_path / "maps")
    assert {path: path.read_bytes() for path in (tmp_path / "maps").iterdir()} == before
    assert write_maps(GradcheckReport("a layer"), tmp_path / "none") == []


def test_a_limit_takes_the_first_pictures(folder, batch, tmp_path, rng):
    """And the first rows of a delta, which belong to them; it is said, with the way to all."""
    inputs = Inputs((str(folder),))
    whole = prepare_check(None, Request(), inputs)
    assert whole.left_out == ""
    np.testing.assert_array_equal(whole.x, batch)

    delta = rng.standard_normal(batch.shape)
    np.save(tmp_path / "delta.npy", delta)
    inputs = Inputs((str(folder),), str(tmp_path / "delta.npy"))
    some = prepare_check(None, Request(limit=3), inputs)
    np.testing.assert_array_equal(some.x, batch[:3])
    np.testing.assert_array_equal(some.delta, delta[:3])
    assert some.left_out == f"the first 3 of {len(batch)} pictures are checked"
    assert prepare_check(None, Request(limit=99), inputs).left_out == ""
    with pytest.raises(OptionError, match="--limit is for --images"):
        prepare_check(None, Request(limit=3), Inputs())


def test_a_check_of_minutes_takes_fewer_pictures_and_says_so(tmp_path, rng, monkeypatch):
    """Never fewer than five; an explicit limit is minded."""
    np.save(tmp_path / "batch.npy", rng.random((12, 4, 3, 1)))
    inputs = Inputs((str(tmp_path / "batch.npy"),))
    for count in (12, 11, 7, 5):
        minute = cost_in_forwards((count, 4, 3, 1)) * count * 12
        monkeypatch.setattr(checks, "_MINUTE", minute)
        check = prepare_check(None, Request(), inputs)
        assert len(check.x) == count
        assert ("--limit 12 asks them" in check.left_out) == (count < 12)
        assert len(prepare_check(None, Request(limit=12), inputs).x) == 12
    monkeypatch.setattr(checks, "_MINUTE", 1)
    assert len(prepare_check(None, Request(), inputs).x) == 5


def test_photographs_are_cut_to_a_minute():
    """Sixty of 640x427 took ten minutes; small batches, and those of the manual, are whole."""
    assert 8 < checks._affordable(60, (640, 427, 3)) < 30
    assert checks._affordable(24, (144, 96, 3)) == 24
    assert checks._affordable(16, (224, 224, 3)) == 16
    assert checks._affordable(60, (6000, 4000, 3)) == 5
    assert checks._affordable(2, (6000, 4000, 3)) == 2
