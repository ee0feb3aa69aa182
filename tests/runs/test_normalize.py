"""A folder normalized, against the textbook on what Pillow reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
from oracle import textbook, tree
from PIL import Image

from bncli import BatchNorm, normalize_folder, uniform
from bncli.errors import (
    ImageError,
    LimitError,
    NonFiniteError,
    OptionError,
    ShapeError,
    SinglePictureError,
)

NAMES = ["p1", "p2", "p3", "p10", "p11"]


def pictures(out, names=NAMES):
    """The written pictures as (batch, w, h, c)."""
    return np.stack([np.asarray(Image.open(out / f"{n}.png")) for n in names]).swapaxes(1, 2)


def levels(y, low, high, white=255):
    return np.clip(np.rint((y - low) / (high - low) * white), 0, white)


def test_pictures_are_the_layer_rounded_once(folder, batch, tmp_path):
    """minmax: black and white are the ends of y; every value is rounded to the nearest level."""
    summary = normalize_folder(folder, tmp_path / "out")
    y = textbook(batch).output

    assert np.array_equal(pictures(tmp_path / "out"), levels(y, y.min(), y.max()))
    assert summary.scaling.low == pytest.approx(y.min(), rel=1e-12)
    assert summary.scaling.high == pytest.approx(y.max(), rel=1e-12)


@pytest.mark.parametrize(
    ("scale", "ends"),
    [
        ("sigma:1.5", lambda y: (y.mean() - 1.5 * y.std(), y.mean() + 1.5 * y.std())),
        ("-1:0.5", lambda _: (-1, 0.5)),
        ("none", lambda _: (0, 1)),
    ],
)
@pytest.mark.parametrize("depth", [8, 16])
def test_scales_and_clipping(folder, batch, tmp_path, scale, ends, depth):
    """Every scale maps its two ends to black and white, clips the rest, and counts it."""
    out = tmp_path / "out"
    summary = normalize_folder(
        folder, out, scale=scale, depth=str(depth), format="png", gamma=0.7, beta="random", seed=3
    )
    y = textbook(batch, 0.7, uniform("beta", (7, 5, 3), 3)).output
    white = 2**depth - 1
    raw = np.rint((y - ends(y)[0]) / (ends(y)[1] - ends(y)[0]) * white)

    assert sum(summary.clipped) == np.count_nonzero((raw < 0) | (raw > white)) > 0
    if depth == 8:
        assert np.array_equal(pictures(out), np.clip(raw, 0, white))


def test_image_scale(folder, batch, tmp_path):
    """image: each picture reaches from black to white."""
    normalize_folder(folder, tmp_path / "out", scale="image")
    y = textbook(batch).output
    expected = np.stack([levels(picture, picture.min(), picture.max()) for picture in y])

    assert np.array_equal(pictures(tmp_path / "out"), expected)


def test_axis_1_is_the_width_everywhere(folder, batch, tmp_path):
    """Arrays written are (batch, w, h, c) and (w, h, c) on pictures that are not square."""
    out = tmp_path / "out"
    normalize_folder(folder, out, format="npy", delta="random", gamma="random", update=True)
    shapes = {path.name: np.load(path).shape for path in out.glob("*.npy")}

    assert shapes == {
        "normalized.npy": (5, 7, 5, 3),
        "grad_input.npy": (5, 7, 5, 3),
        "grad_gamma.npy": (7, 5, 3),
        "grad_beta.npy": (7, 5, 3),
        "gamma.npy": (7, 5, 3),
        "beta.npy": (7, 5, 3),
    }
    expected = textbook(batch, uniform("gamma", (7, 5, 3), 0)).output
    assert np.allclose(np.load(out / "normalized.npy"), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_whole_step_equals_the_layer(folder, batch, tmp_path, rng, dtype):
    """Output, gradients and the parameters after the step are those of the layer in memory."""
    gamma, beta = rng.random((2, 7, 5, 3))
    delta = rng.standard_normal(batch.shape)
    for name, array in {"g": gamma, "b": beta, "d": delta}.items():
        np.save(tmp_path / f"{name}.npy", array)
    out = tmp_path / "out"
    summary = normalize_folder(
        folder, out, format="npy", dtype=dtype, update=True, lr=0.1, momentum=0.5, decay=0.01,
        gamma=tmp_path / "g.npy", beta=tmp_path / "b.npy", delta=tmp_path / "d.npy",
    )  # fmt: skip
    layer = BatchNorm(gamma, beta)
    layer.forward(batch)
    layer.delta = delta
    layer.backward()
    gradients = (layer.grad_input, layer.scales_updates, layer.bias_updates)
    layer.update(lr=0.1, momentum=0.5, decay=0.01)
    expected = {
        "normalized": layer.output,
        **dict(zip(("grad_input", "grad_gamma", "grad_beta"), gradients, strict=True)),
        "gamma": layer.scales,
        "beta": layer.bias,
    }
    for name, array in expected.items():
        found = np.load(out / f"{name}.npy")
        assert found.dtype == dtype
        tolerance = 1e-12 if dtype == "float64" else 1e-6
        assert np.abs(found - array).max() < tolerance * np.abs(array).max()
    for name, gradient in zip(("grad_input", "grad_gamma", "grad_beta"), gradients, strict=True):
        assert summary.gradients[name] == pytest.approx(np.linalg.norm(gradient), rel=1e-12)


def test_a_loop_of_runs_is_a_loop_of_steps(folder, batch, tmp_path, rng):
    """Three runs that hand on gamma, beta and state equal three steps of one layer."""
    delta = rng.standard_normal(batch.shape)
    np.save(tmp_path / "d.npy", delta)
    out = tmp_path / "out"
    rates = {"lr": 0.2, "momentum": 0.9, "decay": 0.02, "lr_decay": 0.5}
    layer = BatchNorm(uniform("gamma", (7, 5, 3), 0), np.zeros((7, 5, 3)))
    handed_on = {"gamma": "random"}
    for _ in range(3):
        normalize_folder(
            folder, out, delta=tmp_path / "d.npy", update=True, overwrite=True,
            **rates, **handed_on,
        )  # fmt: skip
        handed_on = {
            "gamma": out / "gamma.npy", "beta": out / "beta.npy", "state": out / "state.npz",
        }  # fmt: skip
        layer.forward(batch)
        layer.delta = delta
        layer.backward()
        layer.update(**rates)

    assert np.allclose(np.load(out / "gamma.npy"), layer.scales, rtol=1e-12, atol=1e-13)
    assert np.allclose(np.load(out / "beta.npy"), layer.bias, rtol=1e-12, atol=1e-13)


def too_little_to_keep_pictures(folder, tmp_path, **options):
    """One byte less of memory than a run takes that keeps what it has decoded."""
    plan = normalize_folder(folder, tmp_path / "plan", dry_run=True, **options).plan
    assert plan.decodes_each_file == 1
    return plan.memory_bytes - 1


def test_same_bytes_for_any_jobs_and_cache(folder, tmp_path):
    """One thread or eight, decoded once or twice: every file has the same bytes."""
    options = {"delta": "random", "gamma": "random", "update": True, "seed": 5}
    normalize_folder(folder, tmp_path / "one", jobs=1, **options)
    normalize_folder(folder, tmp_path / "eight", jobs=8, **options)
    options["max_memory"] = too_little_to_keep_pictures(folder, tmp_path, **options)
    streamed = normalize_folder(folder, tmp_path / "streamed", dry_run=True, **options)
    normalize_folder(folder, tmp_path / "streamed", **options)

    assert streamed.plan.decodes_each_file == 2
    assert tree(tmp_path / "one") == tree(tmp_path / "eight") == tree(tmp_path / "streamed")


def test_order_on_disk_changes_nothing(folder, tmp_path):
    """The same files, created in another order, give the same bytes."""
    shuffled = tmp_path / "shuffled"
    shuffled.mkdir()
    for name in ("p3", "p11", "p1", "p10", "p2"):
        (shuffled / f"{name}.png").write_bytes((folder / f"{name}.png").read_bytes())
    normalize_folder(folder, tmp_path / "a", delta="random")
    normalize_folder(shuffled, tmp_path / "b", delta="random")

    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_float_batches(tmp_path, rng):
    """A .npy batch is taken as it is, far from zero too, and written as 16-bit by default."""
    x = 1e6 + rng.random((20, 6, 4, 3))
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    out = tmp_path / "out"
    normalize_folder(tmp_path / "x.npy", out, format="npy", delta="random", jobs=3)
    normalize_folder(tmp_path / "x.npy", tmp_path / "png")
    delta = np.stack([uniform("delta", (6, 4, 3), 0, i) for i in range(20)])
    book = textbook(x.astype(np.float32), delta=delta)

    for name in ("grad_input", "grad_gamma", "grad_beta"):
        expected = getattr(book, name)
        found = np.load(out / f"{name}.npy")
        assert np.abs(found - expected).max() < 1e-9 * np.abs(expected).max()
    assert np.abs(np.load(out / "normalized.npy") - book.output).max() < 1e-9
    summary = json.loads((tmp_path / "png" / "summary.json").read_text())
    assert summary["scale"]["depth"] == 16
    assert [output["path"] for output in summary["outputs"]][:2] == ["x-0.png", "x-1.png"]


def test_integer_batches_are_not_rescaled(tmp_path, rng):
    """A uint8 .npy batch keeps its own units: no division by 255."""
    x = rng.integers(0, 256, (6, 4, 5, 1), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    normalize_folder(tmp_path / "x.npy", tmp_path / "out", format="npy", eps=2.5)

    found = np.load(tmp_path / "out" / "normalized.npy")
    assert np.abs(found - textbook(x, eps=2.5).output).max() < 1e-12


def test_dead_pixels_are_beta(tmp_path, rng):
    """A pixel that never changes becomes exactly beta, and is counted."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(2):
        pixels = rng.integers(0, 256, (5, 7), dtype=np.uint8)
        pixels[0, :3] = 77
        Image.fromarray(pixels).save(source / f"{number}.png")
    beta = rng.random((7, 5, 1))
    np.save(tmp_path / "beta.npy", beta)
    summary = normalize_folder(
        source, tmp_path / "out", format="npy", beta=tmp_path / "beta.npy", delta="random"
    )

    assert summary.dead_pixels == 3
    assert (np.load(tmp_path / "out" / "normalized.npy")[:, :3, 0] == beta[:3, 0]).all()
    assert np.isfinite(np.load(tmp_path / "out" / "grad_input.npy")).all()


def test_identical_pictures(tmp_path):
    """Two equal pictures: every pixel is dead, every output is beta, every level is 0."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(2):
        Image.new("RGB", (4, 3), (10, 200, 30)).save(source / f"{number}.png")
    summary = normalize_folder(source, tmp_path / "out")

    assert summary.dead_pixels == 36
    assert not pictures(tmp_path / "out", ["0", "1"]).any()


def test_alpha_is_copied_through(tmp_path, rng):
    """alpha keep: the colours are normalized, the alpha channel is the source's."""
    source = tmp_path / "source"
    source.mkdir()
    pixels = rng.integers(0, 256, (3, 5, 7, 4), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(source / f"{number}.png")
    normalize_folder(source, tmp_path / "out")
    normalize_folder(source, tmp_path / "all", alpha="normalize", format="npy")
    normalize_folder(source, tmp_path / "none", alpha="drop")
    y = textbook(pixels[..., :3] / 255).output.swapaxes(1, 2)
    found = pictures(tmp_path / "out", ["0", "1", "2"])

    assert np.array_equal(found[..., 3], pixels[..., 3].swapaxes(1, 2))
    assert np.array_equal(found[..., :3], levels(y, y.min(), y.max()))
    assert np.load(tmp_path / "all" / "normalized.npy").shape == (3, 7, 5, 4)
    assert np.array_equal(pictures(tmp_path / "none", ["0", "1", "2"]), found[..., :3])


def test_tiff_holds_y_itself(folder, batch, tmp_path):
    """tiff: float32, no scale, readable by tifffile."""
    tifffile = pytest.importorskip("tifffile")
    normalize_folder(folder, tmp_path / "out", format="tiff")
    found = np.stack([tifffile.imread(tmp_path / "out" / f"{n}.tiff") for n in NAMES])

    assert found.dtype == np.float32
    assert np.array_equal(found.swapaxes(1, 2), textbook(batch).output.astype(np.float32))


def test_channels(folder, tmp_path, batch):
    """Mean and standard deviation of a channel are over all its values, in value scale."""
    channel = normalize_folder(folder, tmp_path / "out").document()["channels"][1]
    assert channel["mean"] == pytest.approx(batch[..., 1].mean(), rel=1e-12)
    assert channel["std"] == pytest.approx(batch[..., 1].std(), rel=1e-12)


def test_a_source_that_changes_during_the_run(folder, tmp_path, monkeypatch):
    """A file changed between the two passes: exit 5, nothing mixed, nothing written."""
    from bncli.runs import changes

    limit = too_little_to_keep_pictures(folder, tmp_path)
    original = changes.black_and_white

    def meddle(*arguments):
        (folder / "p3.png").write_bytes((folder / "p2.png").read_bytes())
        return original(*arguments)

    monkeypatch.setattr(changes, "black_and_white", meddle)
    with pytest.raises(ImageError, match=r"p3\.png: it was changed"):
        normalize_folder(folder, tmp_path / "out", max_memory=limit)
    assert not (tmp_path / "out").exists()


def test_a_limit_that_cannot_be_kept(folder, tmp_path):
    """Too little memory is refused before a pixel is decoded, with both numbers."""
    (folder / "p2.png").write_bytes((folder / "p2.png").read_bytes()[:-30])
    with pytest.raises(LimitError, match=r"need 7\d MB of memory; .*--max-memory 50 MB\)"):
        normalize_folder(folder, tmp_path / "out", max_memory=50_000_000)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"eps": 0.0}, OptionError, "eps"),
        ({"seed": -1}, OptionError, "seed"),
        ({"gamma": "rondom"}, OptionError, "--gamma rondom"),
        ({"gamma": "nan"}, OptionError, "finite"),
        ({"gamma": "missing.npy"}, OptionError, "no such file"),
        ({"update": True}, OptionError, "--delta"),
        ({"state": "state.npz"}, OptionError, "--update"),
        ({"delta": "ones", "state": "state.npz"}, OptionError, "--update"),
        ({"delta": "ones", "on_error": "skip"}, OptionError, "--on-error skip"),
        ({"delta": "ones", "lr": -1.0}, OptionError, "lr"),
        ({"scale": "sigma"}, OptionError, "--scale sigma"),
        ({"scale": "3:1"}, OptionError, "LO < HI"),
        ({"format": "jpeg"}, OptionError, "--format is jpeg"),
        ({"depth": "12"}, OptionError, "--depth"),
        ({"jobs": 0}, OptionError, "--jobs"),
        ({"max_memory": 0}, OptionError, "--max-memory"),
        ({"gamma": 1e308, "beta": 1e308}, NonFiniteError, "overflows"),
        ({"delta": "ones", "update": True, "lr": 1e308}, NonFiniteError, "smaller --lr"),
    ],
)
def test_impossible_options(folder, tmp_path, options, error, says):
    """Each impossible option has its own error, and OUT does not come to be."""
    with pytest.raises(error, match=says):
        normalize_folder(folder, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_wrong_arrays(folder, tmp_path, rng):
    """gamma, beta and delta of wrong shapes are refused with both shapes; no broadcasting."""
    np.save(tmp_path / "swapped.npy", np.ones((5, 7, 3)))
    np.save(tmp_path / "scalar.npy", np.ones(()))
    np.save(tmp_path / "less.npy", np.ones((4, 7, 5, 3)))
    nan = rng.random((5, 7, 5, 3))
    nan[2, 6, 4, 1] = np.nan
    np.save(tmp_path / "nan.npy", nan)
    for options, says in (
        ({"gamma": tmp_path / "swapped.npy"}, "swapped"),
        ({"beta": tmp_path / "scalar.npy"}, r"\(7, 5, 3\)"),
        ({"delta": tmp_path / "less.npy"}, r"\(5, 7, 5, 3\)"),
    ):
        with pytest.raises(ShapeError, match=says):
            normalize_folder(folder, tmp_path / "out", **options)
    with pytest.raises(NonFiniteError, match=r"\(2, 6, 4, 1\)"):
        normalize_folder(folder, tmp_path / "out", delta=tmp_path / "nan.npy")
    assert not (tmp_path / "out").exists()


def test_one_picture(folder, tmp_path):
    """A batch of one is refused: every output would be beta."""
    with pytest.raises(SinglePictureError, match="only picture"):
        normalize_folder(folder / "p1.png", tmp_path / "out")


@pytest.mark.parametrize(
    "options",
    [
        {"beta": 1e39, "format": "tiff"},
        {"beta": 1e39, "format": "npy", "dtype": "float32"},
        {"gamma": 1e39, "delta": "random", "dtype": "float32"},
        {"scale": "0:1e-310"},
        {"gamma": 1e-320},
    ],
)
def test_results_that_do_not_fit(folder, tmp_path, options):
    """Numbers too large for float32, or a range too narrow, are an error, not infinity or NaN."""
    with pytest.raises(NonFiniteError):
        normalize_folder(folder, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_unknown_and_mistyped_options(folder, tmp_path):
    """The function refuses options it does not know, and values of the wrong kind."""
    for options in ({"gama": 1}, {"resize": (0, 20)}, {"resize": "10x10"},
                    {"gamma": np.ones((7, 5, 3))},
                    {"delta": "ones", "update": True, "lr": "a"}):  # fmt: skip
        with pytest.raises(OptionError):
            normalize_folder(folder, tmp_path / "out", **options)
    assert normalize_folder(folder, tmp_path / "out", include="p1*.png").count == 3


def test_frames(tmp_path, rng):
    """--frames all makes every frame a picture of the batch."""
    frames = [Image.fromarray(f) for f in rng.integers(0, 256, (3, 5, 7), dtype=np.uint8)]
    path = tmp_path / "stack.tif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="3 frames"):
        normalize_folder(path, tmp_path / "out")
    normalize_folder(path, tmp_path / "out", frames="all")
    y = textbook(np.stack([np.asarray(f) for f in frames]) / 255).output

    found = [np.asarray(Image.open(tmp_path / "out" / f"stack-{k}.png")) for k in range(3)]
    assert np.array_equal(np.stack(found), levels(y, y.min(), y.max()))
