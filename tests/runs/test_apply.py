"""Inference mode: saved statistics on the same pictures and on others."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from oracle import textbook, tree
from PIL import Image

from bncli import apply_folder, fit_folder, normalize_folder, uniform
from bncli.errors import ImageError, LimitError, NonFiniteError, OptionError, OutputError

NAMES = ["p1", "p2", "p3", "p10", "p11"]


def pictures(out, names=NAMES):
    """The written pictures as (batch, w, h, c)."""
    return np.stack([np.asarray(Image.open(out / f"{n}.png")) for n in names]).swapaxes(1, 2)


def only_pictures(out):
    return {
        name: content for name, content in tree(out).items() if name.endswith((".png", ".tiff"))
    }


@pytest.mark.parametrize(
    ("layer", "output"),
    [
        ({}, {}),
        ({"gamma": "random", "beta": "random", "seed": 9}, {"depth": "16"}),
        ({"gamma": -0.5, "eps": 0.01}, {"scale": "sigma:1"}),
        ({"mode": "L", "resize": (6, 4)}, {"scale": "image"}),
        ({"beta": 3}, {"scale": "-1:0.5"}),
        ({"alpha": "drop"}, {"format": "tiff"}),
        ({"gamma": "random"}, {"format": "npy", "dtype": "float32"}),
    ],
)
def test_fit_then_apply_is_normalize(folder, tmp_path, layer, output):
    """The same pictures, byte for byte, whatever the layer, the policy and the output."""
    normalize_folder(folder, tmp_path / "one", **layer, **output)
    fit_folder(folder, tmp_path / "stats.npz", **layer)
    summary = apply_folder(tmp_path / "stats.npz", folder, tmp_path / "two", jobs=3, **output)
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")

    for name in set(one) - {"summary.json", "stats.npz", "gamma.npy", "beta.npy"}:
        assert one[name] == two[name], name
    documents = [json.loads(files["summary.json"]) for files in (one, two)]
    for key in ("scale", "clipped_values", "dead_pixels", "channels"):
        assert documents[0][key] == documents[1][key]
    for key in ("source", "source_sha256", "path", "sha256"):
        ours, theirs = ([output[key] for output in d["outputs"]] for d in documents)
        assert ours == theirs
    digest = hashlib.sha256((tmp_path / "stats.npz").read_bytes()).hexdigest()
    assert documents[1]["statistics"]["sha256"] == digest
    assert documents[1]["schema"] == summary.document()["schema"] == "bncli.apply/1"


def test_dead_pixels_too(tmp_path, rng):
    """The equality holds with pixels that never change, and for 16-bit pictures."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(4):
        pixels = rng.integers(0, 65536, (5, 7), dtype=np.uint16)
        pixels[:, :3] = 777
        Image.fromarray(pixels).save(source / f"{number}.png")
    for options in ({}, {"format": "tiff"}):
        out = tmp_path / f"{len(options)}"
        normalize_folder(source, out / "one", beta=0.3, **options)
        apply_folder(out / "one" / "stats.npz", source, out / "two", **options)
        assert only_pictures(out / "one") == only_pictures(out / "two")
        assert only_pictures(out / "two")


def test_other_pictures_are_the_textbook(folder, batch, tmp_path, rng):
    """A picture that was not fitted: the formula with the saved mean and variance, clipped."""
    fit_folder(folder, tmp_path / "s.npz", gamma=0.7, beta="random", seed=3, eps=1e-4)
    new = tmp_path / "new"
    new.mkdir()
    x = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(x).save(new / "new.png")
    book = textbook(batch, 0.7, uniform("beta", (7, 5, 3), 3), eps=1e-4)
    x_norm = (x.swapaxes(0, 1) / 255 - book.mean) / np.sqrt(book.variance + 1e-4)
    y = 0.7 * x_norm + uniform("beta", (7, 5, 3), 3)
    low, high = book.output.min(), book.output.max()
    raw = np.rint((y - low) / (high - low) * 255)
    summary = apply_folder(tmp_path / "s.npz", new, tmp_path / "png")
    apply_folder(tmp_path / "s.npz", new, tmp_path / "npy", format="npy")

    assert np.allclose(np.load(tmp_path / "npy" / "normalized.npy")[0], y, rtol=0, atol=1e-12)
    assert np.array_equal(pictures(tmp_path / "png", ["new"])[0], np.clip(raw, 0, 255))
    assert sum(summary.clipped) == np.count_nonzero((raw < 0) | (raw > 255))
    assert summary.count == 1


def test_a_picture_does_not_depend_on_the_others(folder, tmp_path):
    """Alone or with others, a picture has the same bytes."""
    fit_folder(folder, tmp_path / "s.npz")
    apply_folder(tmp_path / "s.npz", folder, tmp_path / "all")
    for name in NAMES:
        apply_folder(tmp_path / "s.npz", folder / f"{name}.png", tmp_path / name)
        assert (tmp_path / name / f"{name}.png").read_bytes() == (
            tmp_path / "all" / f"{name}.png"
        ).read_bytes()


def test_a_dead_pixel_that_lives_again(tmp_path):
    """Where no fitted picture differed, another value gives what the formula gives."""
    source, new = tmp_path / "source", tmp_path / "new"
    for place in (source, new):
        place.mkdir()
    for number, value in enumerate((10, 30)):
        Image.fromarray(np.array([[value, 50]], np.uint8)).save(source / f"{number}.png")
    Image.fromarray(np.array([[20, 51]], np.uint8)).save(new / "n.png")
    fit_folder(source, tmp_path / "s.npz", eps=0.01)
    y = (51 - 50) / 255 / np.sqrt(0.01)
    for options in ({"format": "npy"}, {"scale": "-2:2"}, {"scale": "0:0.01"}):
        out = tmp_path / str(options)
        summary = apply_folder(tmp_path / "s.npz", new, out, **options)
        if "format" in options:
            assert np.load(out / "normalized.npy")[0].ravel() == pytest.approx([0, y])
        elif options["scale"] == "-2:2":
            assert pictures(out, ["n"]).ravel().tolist() == [128, round((y + 2) / 4 * 255)]
        else:
            assert pictures(out, ["n"]).ravel().tolist() == [0, 255]
            assert sum(summary.clipped) == 1


def test_unbiased_variance(folder, batch, tmp_path):
    """--ddof 1: the paper's inference, variance times B / (B - 1)."""
    fit_folder(folder, tmp_path / "s.npz", ddof=1, eps=1e-3)
    apply_folder(tmp_path / "s.npz", folder, tmp_path / "out", format="npy")
    y = (batch - batch.mean(axis=0)) / np.sqrt(batch.var(axis=0, ddof=1) + 1e-3)

    assert np.allclose(np.load(tmp_path / "out" / "normalized.npy"), y, rtol=0, atol=1e-12)


def test_running_statistics(folder, batch, tmp_path):
    """Running mean and variance take the place of those of the batch, minmax their range."""
    fit_folder(folder, tmp_path / "s.npz", batch_size=5, momentum=0.25, eps=1e-5)
    summary = apply_folder(tmp_path / "s.npz", folder, tmp_path / "out")
    apply_folder(tmp_path / "s.npz", folder, tmp_path / "npy", format="npy")
    mean = 0.25 * batch.mean(axis=0)
    variance = 0.75 + 0.25 * batch.var(axis=0, ddof=1)
    y = (batch - mean) / np.sqrt(variance + 1e-5)

    assert np.allclose(np.load(tmp_path / "npy" / "normalized.npy"), y, rtol=0, atol=1e-12)
    assert summary.scaling.low == pytest.approx(y.min())
    assert summary.scaling.high == pytest.approx(y.max())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[:4], "its size is 7x4, but .*s.npz is of 7x5"),
        (lambda x: x[..., 0], "number of channels .* is 1, but .*s.npz is of 3"),
        (lambda x: x[..., 0].astype(np.uint16) * 257, "its dtype is uint16, but .*s.npz is of"),
        (lambda x: x[..., 0].astype(np.float32), "its dtype is float32, but .*s.npz is of uint8"),
    ],
)
def test_pictures_that_do_not_go_with_it(folder, tmp_path, rng, change, words):
    """Another size, mode or depth is refused, naming the field, the picture and the file."""
    fit_folder(folder, tmp_path / "s.npz")
    new = tmp_path / "new"
    new.mkdir()
    x = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(change(x)).save(new / "n.tif")
    with pytest.raises(ImageError, match=rf"n\.tif: .*{words}"):
        apply_folder(tmp_path / "s.npz", new, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_value_scales_do_not_mix(folder, tmp_path, rng):
    """8-bit numbers of a .npy batch are not 8-bit pictures."""
    fit_folder(folder, tmp_path / "s.npz")
    np.save(tmp_path / "x.npy", rng.integers(0, 256, (2, 7, 5, 3), dtype=np.uint8))
    with pytest.raises(ImageError, match=r"value scale is 1 at 1, but .* is of 1 at 255"):
        apply_folder(tmp_path / "s.npz", tmp_path / "x.npy", tmp_path / "out")
    fit_folder(tmp_path / "x.npy", tmp_path / "x.npz")
    apply_folder(tmp_path / "x.npz", tmp_path / "x.npy", tmp_path / "out")


def test_policies_come_from_the_statistics(folder, tmp_path, rng):
    """Pictures of another size and mode are brought to those that were fitted."""
    fit_folder(folder, tmp_path / "s.npz", mode="L", resize=(6, 4))
    new = tmp_path / "new"
    new.mkdir()
    Image.fromarray(rng.integers(0, 256, (9, 9, 4), dtype=np.uint8)).save(new / "n.png")
    apply_folder(tmp_path / "s.npz", new, tmp_path / "out")

    with Image.open(tmp_path / "out" / "n.png") as image:
        assert (image.size, image.mode) == ((6, 4), "LA")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"scale": "3:1"}, OptionError),
        ({"depth": "12"}, OptionError),
        ({"frames": "some"}, OptionError),
        ({"mode": "L"}, OptionError),
        ({"max_memory": 1000}, LimitError),
        ({"scale": "0:1e-310"}, NonFiniteError),
    ],
)
def test_impossible_options(folder, tmp_path, options, error):
    """Each impossible option has its own error, and OUT does not come to be."""
    fit_folder(folder, tmp_path / "s.npz")
    with pytest.raises(error):
        apply_folder(tmp_path / "s.npz", folder, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_drawings(folder, tmp_path):
    """Applied to the fitted pictures a sheet is that of normalize but for its words."""
    stats, out = tmp_path / "stats.npz", tmp_path / "out"
    fit_folder(folder, stats)
    normalize_folder(folder, tmp_path / "n", contact_sheet=tmp_path / "n.png")
    summary = apply_folder(
        stats, folder, out, contact_sheet=tmp_path / "s.png", report=tmp_path / "r.html"
    )

    drawn, wanted = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "sn")
    assert drawn.shape == wanted.shape
    assert np.array_equal(drawn[120:], wanted[120:])
    page = (tmp_path / "r.html").read_text()
    assert all(output.sha256 in page for output in summary.outputs)
    apply_folder(stats, folder / "p2.png", tmp_path / "one", contact_sheet=tmp_path / "one.png")
    assert np.asarray(Image.open(tmp_path / "one.png")).shape[2] == 3


def test_drawings_are_whole_or_absent(folder, tmp_path):
    """A run that fails leaves none, and one that is there is not replaced unasked."""
    stats, sheet = tmp_path / "stats.npz", tmp_path / "sheet.png"
    fit_folder(folder, stats)
    sheet.write_bytes(b"mine")
    with pytest.raises(OutputError, match="it exists"):
        apply_folder(stats, folder, tmp_path / "out", contact_sheet=sheet)
    assert sheet.read_bytes() == b"mine"
    with pytest.raises(OptionError):
        apply_folder(stats, folder, tmp_path / "out", contact_sheet=folder / "sheet.png")
    truncate(folder / "p3.png")
    with pytest.raises(ImageError):
        apply_folder(stats, folder, tmp_path / "out", contact_sheet=tmp_path / "new.png")
    assert not (tmp_path / "new.png").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["png", "tiff", "npy"])
def test_inputs_that_changed_are_refused(folder, tmp_path, kind):
    """No file gives way to one of another picture, and the run goes on when the first is back."""
    stats, out, victim = tmp_path / "stats.npz", tmp_path / "out", folder / "p2.png"
    fit_folder(folder, stats)
    apply_folder(stats, folder, out, format=kind)
    before, first = tree(out), victim.read_bytes()
    victim.write_bytes((folder / "p3.png").read_bytes())
    with pytest.raises(OutputError, match=r"input changed: p2\.png"):
        apply_folder(stats, folder, out, format=kind, resume=True)
    assert {name: tree(out)[name] for name in before} == before
    victim.write_bytes(first)
    apply_folder(stats, folder, out, format=kind, resume=True)
    assert tree(out) == before
    victim.write_bytes((folder / "p3.png").read_bytes())
    apply_folder(stats, folder, out, format=kind, resume=True, overwrite=True)
    assert tree(out) != before


def test_one_array_has_no_gaps(folder, tmp_path):
    """A picture that is damaged between the check and the writing is no row of zeros."""
    fit_folder(folder, tmp_path / "stats.npz")

    def damage(stage, done, total):
        if (stage, done) == ("check", total):
            truncate(folder / "p2.png")

    with pytest.raises(ImageError, match=r"p2\.png"):
        apply_folder(
            tmp_path / "stats.npz", folder, tmp_path / "out", format="npy", on_error="skip",
            progress=damage,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_a_dry_run_does_not_go_on_with_an_unknown_run(folder, tmp_path):
    """A summary that does not say what its run was: 6 for both."""
    stats, out = tmp_path / "stats.npz", tmp_path / "out"
    fit_folder(folder, stats)
    apply_folder(stats, folder, out)
    document = json.loads((out / "summary.json").read_text())
    del document["run"]
    (out / "summary.json").write_text(json.dumps(document))
    for dry_run in (True, False):
        with pytest.raises(OutputError, match="it exists"):
            apply_folder(stats, folder, out, resume=True, dry_run=dry_run)
