"""Links planted by others, full disks, missing permission, death at any moment."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from oracle import tree

from bncli.errors import OutputError
from bncli.storage.disk import writing
from bncli.storage.output import RunFolder

NAMES = ["a.png", "sub/b.png", "g.npy"]


def run(out, *, overwrite=False):
    with RunFolder(out, NAMES, overwrite=overwrite) as folder:
        folder.write("a.png", b"new")
        folder.write("sub/b.png", b"new")
        with folder.array("g.npy", (100, 3), np.float64) as array:
            for index in range(100):
                array.write(index, np.ones(3))
        folder.commit({"status": "ok"})


def whole(out):
    found = tree(out)
    return set(found) == {*NAMES, "summary.json"} and found["sub/b.png"] == b"new"


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.mkdir()
    (path / "keep").write_bytes(b"keep")
    return path


@pytest.mark.parametrize("target", ["victim", "victim/keep", "nowhere"])
def test_a_link_as_staging_folder_is_not_followed(tmp_path, victim, target):
    """A link planted where the run would stage its files is refused, its target untouched."""
    out = tmp_path / "out"
    out.mkdir()
    (out / ".bncli-run").symlink_to(tmp_path / target)

    for _ in range(2):
        with pytest.raises(OutputError, match="it is a link, which bncli never makes"):
            run(out)

    assert tree(victim) == {"keep": b"keep"}
    assert (out / ".bncli-run").is_symlink()
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["a.png", "summary.json"])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_at_the_name_of_a_file_is_not_followed(tmp_path, victim, name, dangling):
    """The link is refused, with --overwrite too, and stays."""
    out = tmp_path / "out"
    out.mkdir()
    (out / name).symlink_to(victim / ("nothing" if dangling else "keep"))

    with pytest.raises(OutputError, match="it exists"):
        run(out)
    with pytest.raises(OutputError, match="it is a link; move it away"):
        run(out, overwrite=True)

    assert tree(victim) == {"keep": b"keep"}
    assert (out / name).is_symlink()


@pytest.mark.parametrize("name", ["a.png", "summary.json"])
def test_a_pipe_at_the_name_of_a_file_stays(tmp_path, name):
    """What is no file is not replaced by one, and not waited for."""
    out = tmp_path / "out"
    out.mkdir()
    os.mkfifo(out / name)

    with pytest.raises(OutputError, match="it is a named pipe; move it away"):
        run(out, overwrite=True)
    assert (out / name).is_fifo()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EMFILE, "ulimit -n"),
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EROFS, "a disk that may be written"),
        (errno.EACCES, "that you may write to"),
        (errno.EIO, "the disk is sound"),
        (errno.ENOMEM, "memory"),
        (errno.ENOENT, "nothing removes the folder"),
        (errno.EBUSY, "another folder or disk"),
    ],
)
def test_remedies_fit_their_cause(tmp_path, number, remedy):
    """Only a fault of the disk is called one."""
    with pytest.raises(OutputError) as found, writing(tmp_path):
        raise OSError(number, os.strerror(number))

    assert remedy in str(found.value)
    assert ("disk is sound" in str(found.value)) == (number == errno.EIO)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_at_the_name_of_a_folder_is_not_followed(tmp_path, victim, overwrite):
    """A link where a folder of the output should be is refused; nothing is written through it."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "sub").symlink_to(victim)

    with pytest.raises(OutputError, match="it is a link or a file, not a folder"):
        run(out, overwrite=overwrite)

    assert tree(victim) == {"keep": b"keep"}


def test_the_output_folder_itself_may_be_a_link(tmp_path):
    """A link to a folder, given as the output, is the user's own choice."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")

    run(tmp_path / "out")

    assert whole(tmp_path / "disk")


def test_a_dangling_link_as_output_folder(tmp_path):
    """A link that leads nowhere is refused, not turned into a folder elsewhere."""
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")

    with pytest.raises(OutputError, match="not a folder"):
        run(tmp_path / "out")
    assert not (tmp_path / "nowhere").exists()


def test_a_name_too_long_for_the_disk(tmp_path):
    """A name no disk can hold is an output error with the way out, wherever it stands."""
    with pytest.raises(OutputError, match="choose shorter names"):
        run(tmp_path / ("x" * 300))
    with (
        pytest.raises(OutputError, match="choose shorter names"),
        RunFolder(tmp_path / "out", ["y" * 300], overwrite=False) as folder,
    ):
        folder.write("y" * 300, b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path):
    """A folder without permission is refused before anything is read."""
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(OutputError, match="no permission to write; choose another folder"):
            RunFolder(tmp_path / "out", NAMES, overwrite=False)
    finally:
        tmp_path.chmod(0o755)


def test_a_folder_the_system_calls_read_only(tmp_path, monkeypatch):
    """Likewise where the system itself says so, whoever asks."""
    monkeypatch.setattr(os, "access", lambda *_: False)

    with pytest.raises(OutputError, match="no permission to write; choose another folder"):
        RunFolder(tmp_path / "new" / "out", NAMES, overwrite=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("call", ["fsync", "posix_fallocate", "mkdir", "replace"])
@pytest.mark.parametrize("number", range(5))
def test_a_call_that_fails(tmp_path, monkeypatch, call, code, number):
    """Whichever call of a kind the system refuses, the run ends as an output error that leaves
    nothing, or has not noticed and is whole.
    """  # fmt: skip
    if not hasattr(os, call):
        pytest.skip(f"no os.{call} here")
    real, count = getattr(os, call), iter(range(100))

    def failing(*arguments, **options):
        if next(count) == number:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    monkeypatch.setattr(os, call, failing)
    out = tmp_path / "new" / "out"
    message = None
    try:
        run(out)
    except OutputError as error:
        message = str(error)

    if message is None:
        assert whole(out)
    else:
        assert os.strerror(code) in message
        assert "\n" not in message
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", range(4, 12))
def test_a_commit_that_fails_while_replacing(tmp_path, monkeypatch, number):
    """When old files are half replaced, all of them come back."""
    out = tmp_path / "out"
    run(out)
    (out / "note").write_bytes(b"mine")
    (out / "a.png").write_bytes(b"old")
    before = tree(out)
    real, count = os.replace, iter(range(100))

    def failing(*arguments, **options):
        if next(count) == number:
            raise OSError(errno.EIO, "Input/output error")
        return real(*arguments, **options)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OutputError, match="Input/output error"):
        run(out, overwrite=True)
    monkeypatch.undo()

    assert tree(out) == before
    run(out, overwrite=True)
    (out / "note").unlink()
    assert whole(out)


def child(code, *arguments):
    """Run a script in a process of its own, where the package is found as it is here."""
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_file_size_limit(tmp_path):
    """A limit on file sizes is an output error, not a crash in mapped memory."""
    pytest.importorskip("resource")
    done = child(
        """
        import resource, sys
        from pathlib import Path
        from bncli.errors import OutputError
        from bncli.storage.output import RunFolder

        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
        for write in (
            lambda folder: folder.write("a.png", bytes(100_000)),
            lambda folder: folder.array("a.png", (100_000,), "u1").__enter__(),
        ):
            try:
                with RunFolder(Path(sys.argv[1]) / "out", ["a.png"], overwrite=False) as folder:
                    write(folder)
            except OutputError as error:
                print(error)
        """,
        tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the file-size limit is too small for it") == 2
    assert list(tmp_path.iterdir()) == []
