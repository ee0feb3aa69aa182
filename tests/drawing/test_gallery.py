"""What a run shows of itself is what it did: held against Pillow, numpy and the textbook."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from oracle import textbook, tree
from PIL import Image

from bncli import BncliError, normalize_folder
from bncli.drawing import gallery as gallery_module, sheet as sheet_module
from bncli.drawing.histogram import BINS, Histogram


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """Runs normalize, and gives the gallery of the run and its document."""

    def run(source, **options):
        kept = []
        monkeypatch.setattr(
            sheet_module, "contact_sheet", lambda sheet: kept.append(sheet) or b"a sheet"
        )
        original = sheet_module.draw_sheet
        monkeypatch.setattr(
            sheet_module,
            "draw_sheet",
            lambda gallery, document, command: (
                kept.append(gallery)
                or kept.append(document)
                or original(gallery, document, command)
            ),
        )
        sheet = tmp_path / "sheet.png"
        normalize_folder(source, tmp_path / "out", contact_sheet=sheet, overwrite=True, **options)
        assert sheet.read_bytes() == b"a sheet"
        return kept[0], kept[1]

    return run


NAMES = ["p1", "p2", "p3", "p10", "p11"]


@pytest.mark.parametrize("scale", ["minmax", "image", "sigma:1", "none"])
def test_before_and_after_are_the_files(folder, tmp_path, shown, scale):
    """Small pictures are shown as they were read and as they were written, to the level."""
    gallery, _ = shown(folder, scale=scale)

    assert [seen.position for seen in gallery.pictures] == [0, 1, 2, 3, 4]
    for name, seen in zip(NAMES, gallery.pictures, strict=True):
        assert np.array_equal(seen.before, Image.open(folder / f"{name}.png"))
        assert np.array_equal(seen.after, Image.open(tmp_path / "out" / f"{name}.png"))


def test_planes_are_mean_and_deviation(folder, batch, shown):
    """Mean in value scale; deviation from 0 to its largest."""
    gallery, _ = shown(folder)
    book = textbook(batch)
    mean, std = gallery.planes

    assert (mean.name, std.name) == ("mean", "standard deviation")
    assert np.abs(mean.picture / 255 - book.mean.swapaxes(0, 1)).max() <= 0.51 / 255
    deviation = np.sqrt(book.variance).swapaxes(0, 1)
    assert std.shown.high == pytest.approx(deviation.max())
    assert np.abs(std.picture / 255 - deviation / deviation.max()).max() <= 0.51 / 255


def test_gradients_are_those_written(folder, tmp_path, shown):
    """Every cell is the value of grad_input.npy that is farthest from 0 over its channels."""
    gallery, _ = shown(folder, delta="random")
    written = np.load(tmp_path / "out" / "grad_input.npy")

    for picture, seen in zip(written, gallery.pictures, strict=True):
        upright = picture.swapaxes(0, 1)
        farthest = np.abs(upright).argmax(axis=2)[..., None]
        expected = np.take_along_axis(upright, farthest, 2)[..., 0]
        assert np.allclose(seen.gradient, expected, rtol=1e-12)
    limits = {(view.shown.low, view.shown.high) for view in gallery.gradients}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low == -high
    assert gallery.gradients[0].largest == pytest.approx(np.abs(written).max())
    assert [plane.name for plane in gallery.planes[2:]] == ["grad_gamma", "grad_beta"]


def test_histograms_against_numpy(folder, batch, shown):
    """Counts of x and y for each channel are numpy's; every value is in one bin."""
    gallery, _ = shown(folder)
    y = textbook(batch).output

    for histogram, values in ((gallery.x, batch), (gallery.y, y)):
        assert histogram.outside == 0
        for channel in range(3):
            data = values[..., channel].ravel()
            expected, edges = np.histogram(data, BINS, (histogram.low, histogram.high))
            nearest = np.abs(edges[:, None] - data).min()
            if nearest > 1e-9:
                assert np.array_equal(histogram.counts[channel], expected)
            assert histogram.counts[channel].sum() == data.size
            assert np.abs(np.cumsum(histogram.counts[channel] - expected)).max() <= 2


def test_outside_values_count_at_the_ends():
    """Nothing is lost; more than four channels are counted together; a range may be empty."""
    histogram = Histogram(0.0, 1.0, 5)
    histogram.add(np.array([-3.0, 0.0, 0.5, 1.0, 7.0]))
    assert histogram.counts.shape == (1, BINS)
    assert (histogram.counts[0, 0], histogram.counts[0, -1], histogram.outside) == (2, 2, 2)
    wide = Histogram(-1.7e308, 1.7e308, 1)
    wide.add(np.array([-1.7e308, 0.0, 1.7e308]))
    assert (wide.counts[0, 0], wide.counts[0, BINS // 2], wide.counts[0, -1]) == (1, 1, 1)
    empty = Histogram(0.5, 0.5, 1)
    empty.add(np.full(9, 0.5))
    assert empty.counts.sum() == 9


def save(folder, arrays, suffix=".png"):
    folder.mkdir(exist_ok=True)
    for index, pixels in enumerate(arrays):
        Image.fromarray(pixels).save(folder / f"{index}{suffix}")
    return folder


def kinds(rng):
    whole = {"L": (4, 6), "LA": (4, 6, 2), "RGB": (4, 6, 3), "RGBA": (4, 6, 4),
             "dot": (1, 1, 3), "wide": (2, 900), "tall": (900, 2)}  # fmt: skip
    for name, shape in whole.items():
        yield name, rng.integers(0, 256, (3, *shape), dtype=np.uint8)
    yield "deep", rng.integers(0, 65536, (3, 4, 6), dtype=np.uint16)
    yield "float", rng.standard_normal((3, 4, 6)).astype(np.float32) * 1e3
    yield "same", np.full((3, 4, 6), 9, np.uint8)


@pytest.mark.parametrize("alpha", ["keep", "drop", "normalize"])
@pytest.mark.parametrize("name", [name for name, _ in kinds(np.random.default_rng(0))])
def test_every_kind_of_picture(tmp_path, rng, name, alpha):
    """Sheet and page are drawn for every kind of picture; the sheet is a sound picture."""
    arrays = dict(kinds(rng))[name]
    source = save(tmp_path / "in", arrays, ".tiff" if name == "float" else ".png")
    wanted = {"contact_sheet": tmp_path / "s.png"}
    if importlib.util.find_spec("jinja2"):
        wanted["report"] = tmp_path / "r.html"
    normalize_folder(source, tmp_path / "out", alpha=alpha, delta="ones", **wanted)

    sheet = Image.open(tmp_path / "s.png")
    sheet.load()
    assert sheet.width < 2000
    assert sheet.height < 4000
    if "report" in wanted:
        assert (tmp_path / "r.html").read_bytes().startswith(b"<!DOCTYPE html>")


def test_many_channels(tmp_path, rng, shown):
    """A .npy batch of nine channels is drawn in grey, and its values counted together."""
    np.save(tmp_path / "batch.npy", rng.standard_normal((3, 6, 4, 9)))
    gallery, _ = shown(tmp_path / "batch.npy", format="npy")
    assert gallery.pictures[0].before.shape == (4, 6, 1)
    assert gallery.x.counts.shape == (1, BINS)
    assert gallery.x.counts.sum() == 3 * 6 * 4 * 9


def test_at_most_eight_pictures(tmp_path, rng, shown):
    """The first, the last and some evenly between."""
    source = save(tmp_path / "many", rng.integers(0, 256, (23, 3, 4), dtype=np.uint8))
    gallery, _ = shown(source, jobs=3)
    positions = [seen.position for seen in gallery.pictures]
    assert len(positions) == 8
    assert (positions[0], positions[-1]) == (0, 22)
    assert np.ptp(np.diff(positions)) <= 1


def test_jobs_do_not_matter(folder, tmp_path):
    """The same run gives the same bytes of sheet and page, whatever the number of threads."""
    pytest.importorskip("jinja2")
    for jobs in (1, 4):
        place = tmp_path / f"shown{jobs}"
        place.mkdir()
        normalize_folder(
            folder, tmp_path / f"out{jobs}", jobs=jobs, delta="random", command="the command",
            contact_sheet=place / "s.png", report=place / "r.html",
        )  # fmt: skip
    assert tree(tmp_path / "shown1") == tree(tmp_path / "shown4")
    assert tree(tmp_path / "out1") == tree(tmp_path / "out4")


def test_files_inside_the_output_folder(folder, tmp_path):
    """They are the run's own: replaced with --overwrite alone, never on a result's name."""
    out = tmp_path / "out"
    normalize_folder(folder, out, contact_sheet=out / "sheet.png")
    before = tree(out)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "sheet.png").write_bytes(b"mine")
    with pytest.raises(BncliError, match=r"sheet.png: it exists"):
        normalize_folder(folder, tmp_path / "new", contact_sheet=tmp_path / "new" / "sheet.png")
    assert tree(tmp_path / "new") == {"sheet.png": b"mine"}
    normalize_folder(folder, out, contact_sheet=out / "sheet.png", overwrite=True)
    assert tree(out) == before
    for name in ("p1.png", ".bncli-run/a.png"):
        with pytest.raises(BncliError, match="choose another"):
            normalize_folder(folder, out, contact_sheet=out / name, overwrite=True)
    assert tree(out) == before


def test_a_run_that_fails_leaves_no_drawing(folder, tmp_path, monkeypatch):
    """Whatever goes wrong while it is drawn or committed, neither drawing nor output is there."""
    from bncli.storage.output import RunFolder

    wanted = {"contact_sheet": tmp_path / "s.png"}

    def fail(*_):
        raise MemoryError

    for place, name in ((sheet_module, "contact_sheet"), (RunFolder, "commit")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fail)
            with pytest.raises(MemoryError):
                normalize_folder(folder, tmp_path / "out", **wanted)
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}


def test_without_the_options_there_is_no_gallery(folder, tmp_path, monkeypatch):
    """Nothing is gathered that nobody asked for."""

    def refuse(*_):
        raise AssertionError("a gallery was made")

    monkeypatch.setattr(gallery_module.Gallery, "__init__", refuse)
    summary = normalize_folder(folder, tmp_path / "out", delta="ones")
    assert summary.exit_code == 0
    with pytest.raises(AssertionError):
        normalize_folder(folder, tmp_path / "b", contact_sheet=tmp_path / "s.png")


def test_the_plan_counts_what_is_drawn(folder, tmp_path):
    """A dry run with a drawing plans more memory, and writes nothing."""
    plain = normalize_folder(folder, tmp_path / "out", dry_run=True)
    drawn = normalize_folder(
        folder, tmp_path / "out", dry_run=True, contact_sheet=tmp_path / "s.png"
    )
    assert drawn.plan.memory_bytes > plain.plan.memory_bytes
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}


def test_a_run_that_goes_on_draws_the_same(folder, tmp_path):
    """With --resume a finished run draws what it drew, keeps it, and replaces nothing else's."""
    drawings = {"contact_sheet": tmp_path / "s.png"}
    normalize_folder(folder, tmp_path / "out", delta="random", resume=True, **drawings)
    before = tree(tmp_path)
    normalize_folder(folder, tmp_path / "out", delta="random", resume=True, **drawings)
    assert tree(tmp_path) == before

    (tmp_path / "s.png").write_bytes(b"mine")
    with pytest.raises(BncliError, match="it exists and is of another run"):
        normalize_folder(folder, tmp_path / "out", delta="random", resume=True, **drawings)
    assert (tmp_path / "s.png").read_bytes() == b"mine"
