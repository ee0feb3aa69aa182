"""A single file of results is whole or absent, and takes no other's place unasked."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from oracle import tree

from bncli.errors import OutputError
from bncli.storage import whole_file
from bncli.storage.whole_file import WholeFile, write_whole

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="a fork dies")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.npz"


def put(path, content=b"content", *, overwrite=False):
    return write_whole(path, content, overwrite=overwrite)


def dying(at, path, content=b"half", **options):
    """Begin to write in a process that dies at a step; *at* is given the file and plants that."""
    child = os.fork()
    if not child:
        try:
            with WholeFile(path, **options) as file:
                at(file)
                file.stage(content)
                file.place()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def die(*_):
    os._exit(9)


def hidden(folder):
    return [name for name in os.listdir(folder) if name.startswith(".")]  # noqa: PTH208


@pytest.mark.parametrize("content", [b"content", lambda file: file.write(b"content")])
@pytest.mark.parametrize("overwrite", [False, True, None])
def test_it_is_written(path, content, overwrite):
    """Bytes or a writer: the file has them, their digest is told, nothing lies beside it."""
    digest = write_whole(path, content, overwrite=overwrite)
    assert digest == hashlib.sha256(b"content").hexdigest()
    assert tree(path.parent) == {"a.npz": b"content"}


def test_a_writer_may_go_back(path):
    """The digest is that of the bytes as they are at the end, in whatever order they came."""

    def writer(file):
        file.write(b"xxcd")
        file.seek(0)
        file.write(b"ab")

    assert write_whole(path, writer, overwrite=False) == hashlib.sha256(b"abcd").hexdigest()
    assert path.read_bytes() == b"abcd"


def test_staged_bytes_have_no_name(path):
    """Staged, the file is not there yet; placed, it has its name alone."""
    with WholeFile(path) as file:
        digest = file.stage(b"bytes")
        assert not path.exists()
        file.place()
    assert digest == hashlib.sha256(b"bytes").hexdigest()
    assert tree(path.parent) == {"a.npz": b"bytes"}


def test_without_place_nothing_is_left(tmp_path):
    """Neither an error nor a plain end leaves anything."""

    def fail():
        with WholeFile(tmp_path / "a") as file:
            file.stage(b"bytes")
            raise MemoryError

    with pytest.raises(MemoryError):
        fail()
    with WholeFile(tmp_path / "b") as file:
        file.stage(b"bytes")
    assert list(tmp_path.iterdir()) == []


def test_what_is_staged_anew_counts(path):
    """Who stages a second time, shorter or not, places that alone."""
    with WholeFile(path) as file:
        file.stage(b"a long first draft")
        file.stage(b"second")
        file.place()
    assert tree(path.parent) == {"a.npz": b"second"}


def test_it_is_replaced_only_on_request(path):
    """Without overwrite an existing file stays; with it, it is replaced whole."""
    put(path)
    with pytest.raises(OutputError, match="it exists; choose another name or --overwrite"):
        put(path, b"other")
    with pytest.raises(OutputError, match=r"it exists; choose another name$"):
        put(path, b"other", overwrite=None)
    assert path.read_bytes() == b"content"
    put(path, b"o", overwrite=True)
    assert tree(path.parent) == {"a.npz": b"o"}


@pytest.mark.parametrize("links", [True, False])
def test_a_name_taken_meanwhile(path, monkeypatch, links):
    """What came to be while ours was written is not replaced, with hard links or without."""
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError()))
    with WholeFile(path) as file:
        file.stage(b"ours")
        path.write_bytes(b"theirs")
        with pytest.raises(OutputError, match="it exists; choose another name or --overwrite"):
            file.place()
    assert tree(path.parent) == {"a.npz": b"theirs"}


def test_file_systems_without_links(path, monkeypatch):
    """Where no hard link can be made the file is renamed."""
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError()))
    put(path)
    assert tree(path.parent) == {"a.npz": b"content"}


def test_a_writer_that_fails(path):
    """What was there stays as it was, and no half file is left."""
    put(path)

    def writer(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, writer, overwrite=True)
    assert tree(path.parent) == {"a.npz": b"content"}


@posix
@pytest.mark.parametrize("overwrite", [False, True])
def test_death_while_it_is_written(path, overwrite):
    """No half file has the name, and what lies hidden the next one writes over, longer or not."""
    old = {"a.npz": b"old"} if overwrite else {}
    for name, content in old.items():
        (path.parent / name).write_bytes(content)

    def writer(file):
        file.write(b"a much longer half of a file")
        file.flush()
        die()

    dying(lambda _: None, path, writer, overwrite=overwrite)
    left = hidden(path.parent)
    assert len(left) == 1
    assert {name: content for name, content in tree(path.parent).items() if name not in left} == old
    put(path, overwrite=overwrite)
    assert tree(path.parent) == {"a.npz": b"content"}


@posix
def test_death_between_two_names(path, monkeypatch):
    """Who dies with the file under both its names leaves it whole, whatever becomes of the next."""
    monkeypatch.setattr(type(path), "unlink", die)
    dying(lambda _: None, path, b"whole")
    monkeypatch.undo()
    assert len(hidden(path.parent)) == 1
    assert path.read_bytes() == b"whole"

    def writer(file):
        file.write(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_whole(path, writer, overwrite=True)
    assert tree(path.parent) == {"a.npz": b"whole"}


def test_two_at_once(path):
    """Whoever comes second is told to wait, and takes nothing from the first."""
    pytest.importorskip("fcntl")
    with WholeFile(path) as first:
        first.stage(b"first")
        with pytest.raises(OutputError, match=r"a\.npz: another bncli is writing it; wait"):
            put(path, b"second", overwrite=True)
        first.place()
    assert tree(path.parent) == {"a.npz": b"first"}


def test_who_waited_for_nothing(path, monkeypatch):
    """A hidden file that is renamed just before it is locked is another's result, and stays."""
    with WholeFile(path) as file:
        file.stage(b"")
        name = path.parent / hidden(path.parent)[0]
    name.write_bytes(b"theirs")
    real = whole_file.lock

    def lock(descriptor, refusal):
        if name.read_bytes() == b"theirs":
            name.replace(path.with_name("placed"))
        real(descriptor, refusal)

    monkeypatch.setattr(whole_file, "lock", lock)
    put(path)
    assert tree(path.parent) == {"placed": b"theirs", "a.npz": b"content"}


def test_a_name_that_goes_while_it_is_looked_at(path, monkeypatch):
    """As where another bncli renames its file; it is then no longer there, which is no error."""
    path.write_bytes(b"x")
    state, real = path.lstat(), Path.lstat

    def lstat(looked_at):
        found = real(looked_at)
        looked_at.unlink()
        return found

    monkeypatch.setattr(Path, "lstat", lstat)
    assert whole_file._is_at(path, state)
    assert not whole_file._is_at(path, state)


@posix
def test_many_at_once(path):
    """Of many that write one file each is whole or told to wait, and so is what is there."""
    children = []
    for number in range(6):
        child = os.fork()
        if not child:
            code, end = 1, time.monotonic() + 0.3
            try:
                while time.monotonic() < end:
                    try:
                        put(path, bytes([number]) * (number + 1) * 5000, overwrite=True)
                    except OutputError as error:
                        assert "another bncli is writing it" in str(error)  # noqa: PT017
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    codes = {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
    assert codes == {0}
    content = path.read_bytes()
    assert content == content[:1] * (content[0] + 1) * 5000
    assert hidden(path.parent) == []


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
def test_what_was_planted_under_the_hidden_name(path, tmp_path, kind):
    """Neither a link is followed nor a pipe waited for; whether refused or not, nothing is lost."""
    with WholeFile(path) as file:
        file.stage(b"")
        name = tmp_path / hidden(tmp_path)[0]
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    if kind == "pipe":
        os.mkfifo(name)
    elif kind == "folder":
        name.mkdir()
    else:
        name.symlink_to(victim if kind == "link" else tmp_path / "nothing")

    with pytest.raises(OutputError, match=r"a\.npz|\.part"):
        put(path)
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "nothing").exists()
    assert not path.exists()


def test_a_link_is_neither_replaced_nor_followed(path, tmp_path):
    """With overwrite it is refused, as somebody's wiring. Without, a dangling one too stays."""
    (tmp_path / "precious").write_bytes(b"old")
    path.symlink_to("precious")
    with pytest.raises(OutputError, match="it is a link; move it away"):
        put(path, overwrite=True)
    assert (tmp_path / "precious").read_bytes() == b"old"
    assert path.is_symlink()

    (tmp_path / "b").symlink_to("nothing")
    with pytest.raises(OutputError, match="it exists"):
        put(tmp_path / "b")
    assert (tmp_path / "b").is_symlink()


def test_a_run_that_goes_on(path):
    """With resume a file of the same bytes may be there; one of others is refused, and stays."""
    put(path)
    with WholeFile(path, resume=True) as file:
        file.stage(b"content")
        file.place()
    assert tree(path.parent) == {"a.npz": b"content"}
    with WholeFile(path, resume=True) as file:
        file.stage(b"other")
        with pytest.raises(OutputError, match="it exists and is of another run, though all else"):
            file.place()
    assert tree(path.parent) == {"a.npz": b"content"}
    with WholeFile(path, resume=True, overwrite=True) as file:
        file.stage(b"other")
        file.place()
    assert tree(path.parent) == {"a.npz": b"other"}


def test_a_folder_that_comes(tmp_path):
    """Where the run makes the folder, it may be missing at the start, and not at the end."""
    path = tmp_path / "out" / "a.html"
    with pytest.raises(OutputError, match="there is no folder"):
        WholeFile(path)
    with WholeFile(path, folder_comes=True) as file:
        path.parent.mkdir()
        file.stage(b"page")
        file.place()
    assert tree(tmp_path / "out") == {"a.html": b"page"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none/a.html", "there is no folder"),
        ("file/a.html", "there is no folder"),
        ("folder", "it is a folder"),
        ("x" * 300, "choose shorter names"),
    ],
)
def test_impossible_places(tmp_path, name, reason):
    """A place that cannot be written is found before anything is."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for overwrite in (True, False):
        with pytest.raises(OutputError, match=reason):
            WholeFile(tmp_path / name, overwrite=overwrite)
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_took_the_name(path, overwrite, resume):
    """A folder that came to the file's place meanwhile is refused, with all that it holds."""
    with WholeFile(path, overwrite=overwrite, resume=resume) as file:
        file.stage(b"ours")
        path.mkdir()
        (path / "theirs").write_bytes(b"keep")
        with pytest.raises(OutputError):
            file.place()
    assert tree(path.parent) == {"a.npz/theirs": b"keep"}


def test_the_longest_name(tmp_path):
    """A name that the disk just holds needs no longer one for the hidden file."""
    path = tmp_path / ("x" * 255)
    put(path)
    assert path.read_bytes() == b"content"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    """It is refused before anything is written."""
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission"):
        WholeFile(tmp_path / "a")


@pytest.mark.parametrize("mask", [0o077, 0o022])
def test_the_file_has_the_mode_the_user_set(path, mask):
    """It is as readable as the umask says, neither more nor less."""
    before = os.umask(mask)
    try:
        put(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("call", ["fsync", "replace", "link", "open"])
@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_call_that_fails(path, monkeypatch, call, number, overwrite):
    """Whichever call the system refuses: an output error, or a file that is whole."""
    if overwrite:
        put(path, b"old")
    real, count = getattr(os, call), iter(range(100))

    def failing(*arguments, **options):
        if next(count) == number:
            raise OSError(28, os.strerror(28))
        return real(*arguments, **options)

    monkeypatch.setattr(os, call, failing)
    message = ""
    try:
        put(path, overwrite=overwrite)
    except OutputError as error:
        message = str(error)
    monkeypatch.undo()

    assert hidden(path.parent) == []
    if message:
        assert os.strerror(28) in message
        assert "free some space" in message
    allowed = {b"content"} if not message else {b"content", b"old" if overwrite else None}
    assert tree(path.parent).get("a.npz") in allowed


@posix
@pytest.mark.parametrize("size", [5000, 100_000])
def test_a_file_too_large_for_the_disk(path, size):
    """What the system refuses is an output error, also where bytes wait that it refuses again."""
    resource = pytest.importorskip("resource")
    child = os.fork()
    if not child:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
            for content in (bytes(size), lambda file: file.write(bytes(size))):
                with pytest.raises(OutputError, match="the file-size limit is too small for it"):
                    put(path, content)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(path.parent.iterdir()) == []
