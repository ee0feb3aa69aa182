"""What every command that writes refuses, before anything is written, and in a dry run too."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from contract.commands import ALL, APPLY, FIT, FOLDERS, INVERT, asked_of
from contract.desk import SHAPE, ask

DRY = pytest.mark.parametrize("dry", [(), ("-n",)], ids=["run", "dry"])


@pytest.fixture
def free(monkeypatch):
    """Say how many bytes the disk has free."""

    def put(size):
        real = os.statvfs

        def told(path):
            fields = list(real(path))
            fields[:2] = [1, 1]  # block sizes
            fields[3:5] = [size, size]
            return os.statvfs_result(fields)

        monkeypatch.setattr(os, "statvfs", told)

    return put


@DRY
@asked_of(*FOLDERS, formats=("tiff", "npy"))
def test_no_room_on_the_disk(desk, free, dry):
    """What is written uncompressed is known beforehand: without room for it nothing begins."""
    value = 4 if desk.cell.format == "tiff" else desk.command.array_value
    free(5 * int(np.prod(SHAPE)) * value - 1)
    ran = desk.refused(6, *dry, lines=1)
    assert "free some space" in ran.err
    assert str(desk.out) in ran.document["error"]["paths"]


@asked_of(*FOLDERS)
def test_room_enough(desk, free):
    """With room for all nothing is refused, and all is written."""
    free(10**9)
    assert desk.done().keys() >= {"summary.json"}


@DRY
@asked_of(*FOLDERS)
def test_names_that_clash(desk, dry):
    """Two sources of one output: exit 6, naming both; in one array they have a row each."""
    twin = desk.twin("p1")
    if desk.cell.format == "npy":
        assert desk.ask(*dry).code == 0
        return
    ran = desk.refused(6, *dry, lines=1)
    assert set(ran.document["error"]["paths"]) == {twin.name, desk.picture("p1").name}
    assert f"all would be written to {desk.written('p1')}" in ran.err


@DRY
@asked_of(*FOLDERS, formats=("png", "tiff"))
def test_a_name_too_long(desk, dry):
    """A suffix that makes a name too long for the file system: exit 6; one byte less is none."""
    last = desk.twin("p11")
    last.rename(desk.source / ("x" * 251 + last.suffix))
    if desk.cell.format == "png":
        assert desk.ask(*dry).code == 0
        return
    assert "too long" in desk.refused(6, *dry, lines=1).err


@DRY
@asked_of(*FOLDERS)
def test_output_and_input_stay_apart(desk, dry):
    """OUT equal to, inside or above SRC, by a link too, or the folder of files: exit 2."""
    link = desk.place / "link"
    link.symlink_to(desk.source)
    for out in (desk.source, desk.source / "out", desk.place, link, desk.source / ".." / "source"):
        ran = desk.refused(2, "--overwrite", *dry, out=out, lines=1)
        assert "output folder" in ran.err
    ran = desk.refused(2, *dry, source=desk.picture("p1"), out=desk.source, lines=1)
    assert "input files" in ran.err


@DRY
@asked_of(FIT)
def test_the_file_of_fit_stays_apart(desk, dry):
    """A file in SRC, by a link too: exit 2."""
    link = desk.place / "link"
    link.symlink_to(desk.source)
    for out in (desk.source / "s.npz", link / "s.npz"):
        assert "input folder" in desk.refused(2, "--overwrite", *dry, out=out, lines=1).err


@DRY
@asked_of(*FOLDERS, formats=("png", "tiff"))
def test_a_link_into_the_output_folder(desk, dry):
    """A picture that is a link to a file of OUT is an input all the same: exit 2."""
    desk.out.mkdir()
    moved = desk.out / desk.written("p1")
    desk.picture("p1").rename(moved)
    desk.picture("p1").symlink_to(moved)
    assert "it is the input" in desk.refused(2, "--overwrite", *dry, lines=1).err


@DRY
@asked_of(APPLY, INVERT, formats=("png", "tiff"))
def test_the_statistics_are_an_input(desk, dry):
    """They are not written over, whatever they are called: exit 2."""
    desk.out.mkdir()
    desk.statistics = desk.statistics.rename(desk.out / desk.written("p1"))
    assert "it is the input" in desk.refused(2, "--overwrite", *dry, lines=1).err


@asked_of(*ALL)
def test_nothing_is_replaced_unasked(desk):
    """What an earlier run left is as it was: exit 6."""
    desk.done()
    assert "--overwrite" in desk.refused(6, lines=1).err


@asked_of(*ALL)
def test_a_dry_run_sees_what_is_there(desk):
    """-n where an earlier run has written: exit 6, as the run would; with --overwrite 0."""
    desk.done()
    assert desk.ask("-n", "--overwrite").code == 0
    assert "--overwrite" in desk.refused(6, "-n", lines=1).err


@asked_of(*ALL)
def test_overwriting(desk):
    """--overwrite leaves what a run in an empty folder leaves; files of others stay."""
    foreign = {} if desk.is_file else {"note.txt": b"mine", "sub/p1.png": b"mine too"}
    left = desk.done()
    for name, content in foreign.items():
        (desk.out / name).parent.mkdir(exist_ok=True)
        (desk.out / name).write_bytes(content)
    desk.truncate("p2")
    desk.refused(5, "--overwrite")
    desk.picture("p2").write_bytes(desk.picture("p1").read_bytes())
    changed = desk.done("--overwrite")
    assert {name: changed[name] for name in foreign} == foreign
    assert changed.keys() == {*left, *foreign}
    assert changed != left | foreign
    assert desk.done(out=desk.place / f"new{desk.out.suffix}") == {
        name: content for name, content in changed.items() if name not in foreign
    }


@DRY
@asked_of(*ALL, engines=("local", "processes"))
def test_faults_are_said_together(desk, dry):
    """What headers tell and what only decoding tells: a line each, exit 5, nothing written."""
    desk.truncate("p2", "p10")
    desk.swap("p3")
    desk.picture("p11").write_bytes(b"")
    ran = desk.refused(5, *dry, lines=4)
    names = [desk.picture(name).name for name in ("p2", "p3", "p10", "p11")]
    assert sorted(ran.document["error"]["paths"]) == sorted(names)
    assert all(any(f": {name}: " in line for line in ran.err.splitlines()) for name in names)
    assert ran.document["error"]["kind"] == "ImageError"


@asked_of(*ALL, engines=("local", "processes"))
def test_skipping_is_as_if_they_were_not_there(desk):
    """--on-error skip: exit 3, each skipped picture told; the rest as if alone."""
    desk.truncate("p2")
    desk.swap("p3")
    desk.picture("p11").write_bytes(b"")
    ran = desk.ask("--on-error", "skip", "--json")
    assert ran.code == 3
    assert (ran.document["status"], ran.document["exit_code"]) == ("skipped", 3)
    names = {desk.picture(name).name for name in ("p2", "p3", "p11")}
    assert {row["source"] for row in ran.document["skipped"]} == names
    assert all(row["reason"] for row in ran.document["skipped"])
    assert sorted(ran.err.splitlines()) == sorted(
        f"Warning: skipped {row['source']}: {row['reason']}" for row in ran.document["skipped"]
    )
    assert ran.document["images"]["count"] == 2
    for name in names:
        (desk.source / name).unlink()
    alone = desk.done(out=desk.place / f"alone{desk.out.suffix}")
    skipped = desk.left()
    assert skipped.keys() == alone.keys()
    assert all(skipped[name] == alone[name] for name in alone if name != "summary.json")


@asked_of(*ALL)
def test_skipping_in_a_dry_run(desk):
    """-n with --on-error skip: exit 3, nothing written."""
    desk.truncate("p2")
    ran = desk.ask("--on-error", "skip", "-n", "--json")
    assert ran.code == 3
    assert [row["source"] for row in ran.document["skipped"]] == [desk.picture("p2").name]
    assert not desk.out.exists()


@asked_of(*ALL)
def test_nothing_left_to_skip_to(desk):
    """If no picture is left, skipping is no way out: exit 5."""
    desk.truncate("p1", "p2", "p3", "p10", "p11")
    ran = desk.refused(5, "--on-error", "skip")
    assert {Path(path).name for path in ran.document["error"]["paths"]} == {
        desk.picture(name).name for name in ("p1", "p2", "p3", "p10", "p11")
    }


def empty(desk):
    for path in desk.source.iterdir():
        path.unlink()
    (desk.source / "notes.txt").write_text("no picture")


def in_the_way(desk):
    (desk.place / "file").write_text("mine")
    desk.out = desk.place / "file" / desk.out.name


def out_is_a_file(desk):
    desk.out.write_text("mine")


def out_holds_the_output(desk):
    desk.out.mkdir()
    (desk.out / desk.written("p1")).write_text("mine")


def no_statistics(desk):
    desk.statistics.unlink()


def statistics_are_a_picture(desk):
    shutil.copy(desk.picture("p1"), desk.statistics)


def nothing(desk):
    pass


EVERYWHERE = [
    (nothing, ("--bogus",), 2, "UsageError"),
    (nothing, ("--jobs", "none"), 2, "UsageError"),
    (nothing, ("--jobs", "0"), 2, "UsageError"),
    (nothing, ("--engine", "threads"), 2, "UsageError"),
    (nothing, ("--max-memory", "200%"), 2, "UsageError"),
    (nothing, ("--max-memory", "1M"), 7, "LimitError"),
    (nothing, ("--scheduler", "tcp://127.0.0.1:1"), 2, "OptionError"),
    (nothing, ("--include", "*.gif"), 4, "NoPicturesError"),
    (empty, (), 4, "NoPicturesError"),
    (in_the_way, (), 6, "OutputError"),
    (out_is_a_file, (), 6, "OutputError"),
]
OF_FOLDERS = [
    (nothing, ("--format", "jpeg"), 2, "UsageError"),
    (nothing, ("--scale", "3:1"), 2, "OptionError"),
    (out_holds_the_output, (), 6, "OutputError"),
]
OF_FITTED = [
    (no_statistics, (), 5, "ArrayError"),
    (statistics_are_a_picture, (), 5, "ArrayError"),
]


def refusals(rows):
    return pytest.mark.parametrize(
        ("spoil", "options", "code", "kind"),
        [pytest.param(*row, id="-".join([row[0].__name__, *row[1]])) for row in rows],
    )


@refusals(EVERYWHERE)
@asked_of(*ALL, formats=("png", "npz"))
def test_every_command_refuses(desk, spoil, options, code, kind):
    """What is wrong has its exit code and kind, one line, one document; nothing is touched."""
    spoil(desk)
    assert desk.refused(code, *options, lines=1).document["error"]["kind"] == kind


@refusals(OF_FOLDERS)
@asked_of(*FOLDERS, formats=("png",))
def test_commands_that_write_folders_refuse(desk, spoil, options, code, kind):
    """Likewise, of what only they know."""
    spoil(desk)
    assert desk.refused(code, *options, lines=1).document["error"]["kind"] == kind


@refusals(OF_FITTED)
@asked_of(APPLY, INVERT, formats=("png",))
def test_commands_with_statistics_refuse(desk, spoil, options, code, kind):
    """Likewise, of statistics that are none."""
    spoil(desk)
    assert desk.refused(code, *options, lines=1).document["error"]["kind"] == kind


@asked_of(*ALL, formats=("png", "npz"))
def test_pixels_over_the_limit(desk):
    """--max-pixels: exit 7, a line for each picture, the limits in the last."""
    ran = desk.refused(7, "--max-pixels", "34", lines=5)
    assert "(limits: --max-pixels 34, --max-memory " in ran.err.splitlines()[-1]


@asked_of(*ALL, formats=("png", "npz"))
def test_what_is_missing_is_a_usage_error(desk):
    """Without SRC, or without OUT: exit 2."""
    words = desk.words()
    at = words.index("-o")
    without_source = [*words[: at - 1], *words[at:]]
    without_out = [*words[:at], *words[at + 2 :]]
    for missing in (without_source, without_out):
        ran = ask(*missing)
        assert ran.code == 2
        assert len(ran.err.splitlines()) == 1
    assert not desk.out.exists()
