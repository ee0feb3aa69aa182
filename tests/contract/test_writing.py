"""What every command that writes does when all is well: asked of each, in each format."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from contract.commands import ALL, APPLY, FOLDERS, INVERT, NORMALIZE, asked_of
from contract.desk import NAMES, SHAPE, ask
from oracle import bncli, tree
from PIL import Image

COMMON = {"schema", "status", "exit_code", "images"}
PICTURE = {"index", "source", "source_sha256", "path", "sha256"}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def channels(path):
    """How many channels a picture file has."""
    if path.suffix == ".tiff":
        tifffile = pytest.importorskip("tifffile")
        shape = tifffile.imread(path).shape
        return shape[2] if len(shape) == 3 else 1
    with Image.open(path) as image:
        return len(image.getbands())


@asked_of(*ALL, engines=("local", "processes"))
def test_one_document(desk):
    """--json: one document with its keys on stdout, with -q too; nothing on stderr."""
    ran = desk.ask("--json", "-q")
    assert (ran.code, ran.err) == (0, "")
    document = ran.document
    assert document.keys() >= COMMON | desk.command.keys
    assert document["schema"] == f"bncli.{desk.command.name}/1"
    assert (document["status"], document["exit_code"]) == ("ok", 0)
    assert document["images"].items() >= {"count": 5, "shape": list(SHAPE)}.items()
    assert "plan" not in document


@asked_of(*FOLDERS)
def test_the_summary_vouches_for_every_file(desk):
    """summary.json is the document; sources, outputs and digests are told in natural order."""
    ran = desk.ask("--json", *desk.command.every_array)
    assert json.loads((desk.out / "summary.json").read_text()) == ran.document
    outputs, arrays = ran.document["outputs"], ran.document["arrays"]
    assert [row["source"] for row in outputs] == [desk.picture(name).name for name in NAMES]
    assert [row["index"] for row in outputs] == list(range(5))
    for row in outputs:
        assert row.keys() == PICTURE
        assert row["source_sha256"] == digest(desk.source / row["source"])
    one_array = desk.cell.format == "npy"
    expected = [desk.command.array] * 5 if one_array else [desk.written(name) for name in NAMES]
    assert [row["path"] for row in outputs] == expected
    for row in (*outputs, *arrays):
        assert row["sha256"] == digest(desk.out / row["path"])
    told = {row["path"] for row in (*outputs, *arrays)}
    assert {*told, "summary.json"} == set(tree(desk.out))


@asked_of(*ALL, formats=("png", "npz"))
def test_streams(desk):
    """In a pipe a plain table on stdout and nothing on stderr; with -q nothing at all."""
    ran = bncli(*desk.words())
    assert (ran.code, ran.err) == (0, "")
    assert "5 pictures, 7x5" in ran.out
    assert "\x1b" not in ran.out
    quiet = desk.ask("-q", "--overwrite")
    assert quiet == (0, "", "")


@asked_of(*ALL)
def test_the_same_bytes_for_any_number_of_threads(desk):
    """One thread or three: every file has the same bytes."""
    once = desk.done("--jobs", "1", *desk.command.every_array)
    again = desk.place / f"again{desk.out.suffix}"
    assert desk.done("--jobs", "3", *desk.command.every_array, out=again) == once


@asked_of(*ALL, engines=("processes", "dask"))
def test_the_same_bytes_with_any_engine(desk, tmp_path):
    """Processes and a cluster leave what threads leave."""
    found = desk.done()
    words = desk.words(out=tmp_path / f"local{desk.out.suffix}")
    at = words.index("--engine")
    assert ask(*words[:at]).code == 0
    assert found == desk.left(tmp_path / f"local{desk.out.suffix}")


@asked_of(*FOLDERS, formats=("npy",))
@pytest.mark.parametrize("engine", ["processes", "dask"])
def test_one_array_has_one_writer(desk, engine):
    """--format npy is for this process alone: exit 2 with any other engine."""
    if engine == "dask":
        pytest.importorskip("distributed")
    ran = desk.refused(2, "--engine", engine, lines=1)
    assert "one array has one writer" in ran.err


@asked_of(*ALL)
def test_a_dry_run_writes_nothing(desk):
    """-n: exit 0, the plan in the document, not a byte anywhere."""
    before = tree(desk.place)
    ran = desk.ask("-n", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert tree(desk.place) == before
    assert not desk.out.exists()
    assert ran.document["plan"]["memory_bytes"] > 0
    assert ran.document["plan"]["jobs"] >= 1
    assert ran.document.keys() >= COMMON


@asked_of(*FOLDERS)
def test_a_dry_run_tells_the_room(desk):
    """-n tells what the disk has free, in the document and in words."""
    told = desk.ask("-n", "--json").document["plan"]
    assert told["disk_free_bytes"] > 0
    assert told["disk_bytes"] >= 0
    assert "MB of disk of" in desk.ask("-n").out


@asked_of(NORMALIZE, APPLY, formats=("npy",))
def test_the_plan_knows_the_dtype(desk):
    """Half the room for an array of float32."""
    wide, narrow = (
        desk.ask("-n", "--json", "--dtype", name).document["plan"]["disk_bytes"]
        for name in ("float64", "float32")
    )
    assert wide - narrow == 4 * 5 * np.prod(SHAPE)


@asked_of(NORMALIZE, APPLY)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_dtype_is_that_of_every_array(desk, dtype):
    """--dtype: normalized, gradients and parameters."""
    desk.done("--dtype", dtype, *desk.command.every_array)
    found = {path.name: np.load(path).dtype.name for path in desk.out.glob("*.npy")}
    assert set(found.values()) <= {dtype}
    assert len(found) == desk.command.arrays + (desk.cell.format == "npy")


@asked_of(INVERT, formats=("npy",))
def test_restored_values_have_the_dtype_they_had(desk):
    """What was uint8 comes back as uint8."""
    desk.done()
    assert np.load(desk.out / "restored.npy").dtype == np.uint8


ALPHA = {"keep": 4, "drop": 3, "normalize": 4}


@pytest.fixture
def transparent(desk, rng):
    """The source of the desk made anew: four RGBA pictures, or what became of them."""

    def made(alpha):
        pictures = desk.place / "pictures"
        pictures.mkdir()
        for number in range(4):
            pixels = rng.integers(0, 256, (5, 7, 4), dtype=np.uint8)
            Image.fromarray(pixels).save(pictures / f"{number}.png")
        run = desk.place / "run"
        words = ["normalize", pictures, "-o", run, "--alpha", alpha, "--format", "tiff"]
        assert ask(*words).code == 0
        if desk.command.fitted:
            desk.statistics = run / "stats.npz"
        desk.source = run if desk.command.reads == "normalized" else pictures
        return () if desk.command.fitted else ("--alpha", alpha)

    return made


@asked_of(*FOLDERS)
@pytest.mark.parametrize("alpha", ALPHA)
def test_alpha_is_kept_dropped_or_normalized(desk, transparent, alpha):
    """Files have the channels they should; one array has no place for alpha copied through."""
    options = transparent(alpha)
    if desk.cell.format == "npy" and alpha == "keep":
        assert "--alpha drop" in desk.refused(2, *options, lines=1).err
        return
    desk.done(*options)
    if desk.cell.format == "npy":
        assert np.load(desk.out / desk.command.array).shape[3] == ALPHA[alpha]
    else:
        written = desk.out.glob(f"*.{desk.cell.format}")
        assert [channels(path) for path in written] == [ALPHA[alpha]] * 4


@asked_of(NORMALIZE, APPLY, formats=("png", "tiff"))
@pytest.mark.parametrize("alpha", ALPHA)
def test_alpha_is_told(desk, transparent, alpha):
    """The summary says what was made of alpha channels, and how many pictures have one."""
    images = desk.ask("--json", *transparent(alpha)).document["images"]
    assert (images["alpha"], images["with_alpha"]) == (alpha, 4)
    assert images["shape"] == [7, 5, 4 if alpha == "normalize" else 3]
