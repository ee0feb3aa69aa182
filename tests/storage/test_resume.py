"""A run goes on where one of the same key was broken off, and never where it was another."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context

import pytest
from oracle import least_peak, tree

from bncli.errors import OutputError
from bncli.storage.journal import Inputs, read_journal
from bncli.storage.output import RunFolder
from bncli.storage.placing import undo_killed
from bncli.storage.staging import Staging

FILES = {"a.png": b"first", "sub/b.png": b"second", "g.npy": b"third"}
INPUTS = [("a.jpg", "0" * 64), ("sub/b.jpg", "1" * 64)]


def opened(out, *, resume=True, overwrite=False, inputs=INPUTS, **key):
    folder = RunFolder(out, list(FILES), overwrite=overwrite, resume=resume, key={"eps": 1} | key)
    names = [name for name, _ in inputs]
    digests = [bytes.fromhex(digest) for _, digest in inputs]
    return folder.begin(Inputs(names, digests), shape=[3, 4, 1])


def run(out, *, stop=None, **options):
    """Write what is missing; *stop* is the file before which the run fails."""
    written = []
    with opened(out, **options) as folder:
        for name, content in FILES.items():
            if name == stop:
                raise ZeroDivisionError
            entry = folder.kept(name)
            if entry is None:
                folder.write(name, content, facts=[len(name), 0.1])
                written.append(name)
        if not folder.stands(summary(folder)):
            folder.commit(summary(folder))
    return written


def summary(folder):
    return {
        "outputs": [
            {"source": source, "source_sha256": digest, "path": name, "sha256": folder.digest(name)}
            for (source, digest), name in zip(INPUTS, FILES, strict=False)
        ],
        "arrays": [{"path": "g.npy", "sha256": folder.digest("g.npy")}],
        "run": folder.key,
    }


@pytest.fixture
def whole(tmp_path):
    """What an undisturbed run leaves."""
    run(tmp_path / "undisturbed", resume=False)
    return tree(tmp_path / "undisturbed")


def broken_off(out, stop, **options):
    with pytest.raises(ZeroDivisionError):
        run(out, stop=stop, **options)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("stop", FILES)
def test_only_what_is_missing_is_written(tmp_path, whole, stop, overwrite):
    """A run that failed with --resume leaves what is whole, and the next writes the rest."""
    out = tmp_path / "out"
    broken_off(out, stop, overwrite=overwrite)
    assert not [name for name in tree(out) if not name.startswith(".bncli-run")]

    assert run(out, overwrite=overwrite) == list(FILES)[list(FILES).index(stop) :]
    assert tree(out) == whole


def test_facts_come_back(tmp_path):
    """What was reported of a file is known to the run that goes on."""
    broken_off(tmp_path / "out", "g.npy")

    with opened(tmp_path / "out") as folder:
        entry = folder.kept("sub/b.png")
        assert entry.facts == [9, 0.1]
        assert entry.digest == hashlib.sha256(b"second").digest()
        assert folder.kept("g.npy") is None


def test_without_resume_a_failed_run_leaves_nothing(tmp_path):
    """Without --resume what was staged is swept, by the failed run and after a killed one."""
    broken_off(tmp_path / "out", "g.npy", resume=False)
    assert list(tmp_path.iterdir()) == []

    broken_off(tmp_path / "out", "g.npy")
    assert run(tmp_path / "out", resume=False) == list(FILES)


@pytest.mark.parametrize("damage", [b"", b"fir", b"FIRST", None])
def test_a_damaged_file_is_written_anew(tmp_path, whole, damage):
    """A staged file whose bytes are no longer those of the journal is not believed."""
    out = tmp_path / "out"
    broken_off(out, "g.npy")
    staged = out / ".bncli-run" / "new" / "a.png"
    staged.unlink()
    if damage is not None:
        staged.write_bytes(damage)

    assert run(out) == ["a.png", "g.npy"]
    assert tree(out) == whole


@pytest.mark.parametrize("cut", range(1, 200, 11))
def test_a_torn_journal(tmp_path, whole, cut):
    """Whatever is missing of the journal's end, the run goes on or begins anew, and is whole."""
    out = tmp_path / "out"
    broken_off(out, "g.npy")
    journal = out / ".bncli-run" / "journal"
    content = journal.read_bytes()
    journal.write_bytes(content[: max(0, len(content) - cut)])

    broken_off(out, "g.npy")
    assert run(out) == ["g.npy"]
    assert tree(out) == whole


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"eps": 2}, "eps was 1 and is 2"),
        ({"encoder": "zlib"}, "eps was 1"),
        ({"inputs": [INPUTS[0], ("sub/b.jpg", "2" * 64)]}, "input changed: sub/b.jpg"),
        ({"inputs": [*INPUTS, ("c.jpg", "2" * 64)]}, "input new: c.jpg"),
        ({"inputs": INPUTS[:1]}, "input gone: sub/b.jpg"),
        ({"inputs": INPUTS[::-1]}, "the order of the inputs is another"),
    ],
)
@pytest.mark.parametrize("ended", [False, True])
def test_another_run_is_refused(tmp_path, change, words, ended):
    """What differs is named, whether the run was broken off or whole, and nothing is touched."""
    out = tmp_path / "out"
    if "encoder" in change:
        change, words = {"eps": 2, "encoder": "zlib"}, "eps was 1 and is 2"
    run(out) if ended else broken_off(out, "g.npy")
    before = tree(out)

    with pytest.raises(OutputError, match="cannot go on with the run that is there") as caught:
        run(out, **change)

    assert words in str(caught.value)
    assert ("--overwrite" if ended else "leave --resume out") in str(caught.value)
    assert tree(out) == before


def test_an_option_that_differs_is_refused_before_anything_is_read(tmp_path):
    """What is known of the key at the start is compared at the start."""
    broken_off(tmp_path / "out", "g.npy")

    with pytest.raises(OutputError, match="eps was 1 and is 2"):
        RunFolder(tmp_path / "out", [], overwrite=True, resume=True, key={"eps": 2})


def test_a_whole_run_is_left_as_it_is(tmp_path, whole):
    """Where nothing is missing nothing is written: not even the time of the folder changes."""
    out = tmp_path / "out"
    run(out)
    os.utime(out, (1, 1))

    with opened(out) as folder:
        assert folder.finished(list(FILES))["run"] == folder.key
        assert folder.finished(["a.png"]) is None
        assert not folder.stands({})
        assert folder.stands(summary(folder))

    assert out.stat().st_mtime == 1
    assert tree(out) == whole


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [None, b"other"])
def test_a_whole_run_that_was_damaged(tmp_path, whole, name, damage):
    """An output that is missing or damaged is written anew, and no other."""
    out = tmp_path / "out"
    run(out)
    (out / name).unlink()
    if damage is not None:
        (out / name).write_bytes(damage)
    kept = {other: (out / other).stat().st_ino for other in FILES if other != name}

    with opened(out) as folder:
        assert folder.finished(list(FILES)) is None
    assert run(out) == [name]

    assert tree(out) == whole
    assert kept == {other: (out / other).stat().st_ino for other in kept}


def test_the_same_bytes_are_not_placed_twice(tmp_path):
    """Who writes a file that is whole at its place leaves that one."""
    out = tmp_path / "out"
    run(out)
    (out / "g.npy").unlink()
    inode = (out / "a.png").stat().st_ino

    with opened(out) as folder:
        for name, content in FILES.items():
            folder.write(name, content)
        folder.commit(summary(folder))

    assert (out / "a.png").stat().st_ino == inode
    assert (out / "g.npy").read_bytes() == b"third"


def test_files_of_nobody_are_not_replaced(tmp_path):
    """With --resume too, a file that no journal and no summary names is in the way."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"mine")
    for content in ("{}", "[]", "no json", '{"outputs": [], "arrays": []}', "[" * 100_000):
        (tmp_path / "out" / "summary.json").write_text(content)
        with pytest.raises(OutputError, match="it exists"):
            run(tmp_path / "out")

    assert (tmp_path / "out" / "a.png").read_bytes() == b"mine"


def test_overwrite_begins_anew_over_another_whole_run(tmp_path, whole):
    """--overwrite --resume over a whole run of another key replaces it."""
    out = tmp_path / "out"
    run(out, eps=2)

    broken_off(out, "g.npy", overwrite=True)
    assert run(out, overwrite=True) == ["g.npy"]

    assert tree(out) == whole


def test_how_many_files_are_whole(tmp_path):
    """A dry run counts what need not be written, and refuses what it could not go on with."""
    out = tmp_path / "out"
    assert opened(out).count_whole() == 0
    broken_off(out, "g.npy")
    (out / ".bncli-run" / "new" / "a.png").write_bytes(b"damaged")
    before = tree(out)

    assert opened(out).count_whole() == 1
    with pytest.raises(OutputError, match="input gone"):
        opened(out, inputs=INPUTS[:1]).count_whole()
    assert tree(out) == before
    run(out)
    assert opened(out).count_whole() == len(FILES)


def one_pass(out, *, names=("a.jpg", "sub/b.jpg"), **options):
    """A run that reads each input only when it writes what it makes of it."""
    folder = RunFolder(out, list(FILES), overwrite=False, resume=True, key={"eps": 1}, **options)
    return folder.begin(Inputs(names))


def write_one_pass(folder, *, count):
    for (_, digest), (name, content) in list(zip(INPUTS, FILES.items(), strict=False))[:count]:
        folder.write(name, content, {"source": digest, "clipped": [1, 2.5, None]})


def test_a_run_that_does_not_know_its_inputs_yet(tmp_path, whole):
    """Names alone are enough to begin; the facts of a file tell of which input it was made."""
    out = tmp_path / "out"

    def break_off():
        with one_pass(out) as folder:
            write_one_pass(folder, count=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert one_pass(out).count_whole() == 1
    with one_pass(out) as folder:
        assert folder.kept("a.png").facts == {"source": "0" * 64, "clipped": [1, 2.5, None]}
        assert folder.kept("sub/b.png") is None
        write_one_pass(folder, count=2)
        folder.write("g.npy", FILES["g.npy"])
        folder.commit(summary(folder))
    found = {name: content for name, content in tree(out).items() if name != "summary.json"}
    assert found == FILES

    with one_pass(out) as folder:
        assert folder.finished(list(FILES))["run"] == folder.key
        assert folder.kept("a.png").facts == {"source": "0" * 64}
        assert folder.kept("sub/b.png").facts == {"source": "1" * 64}
        assert folder.kept("g.npy").facts is None
        assert folder.stands(summary(folder))


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.jpg"], "input gone: sub/b.jpg"),
        (["a.jpg", "sub/b.jpg", "c.jpg"], "input new: c.jpg"),
        (["sub/b.jpg", "a.jpg"], "the order of the inputs is another"),
    ],
)
def test_names_that_differ_are_refused(tmp_path, ended, names, words):
    """Without digests too it is another run; what is not known is not said to have changed."""
    out = tmp_path / "out"
    with pytest.raises(ZeroDivisionError) if not ended else nullcontext(), one_pass(out) as folder:
        write_one_pass(folder, count=2)
        folder.write("g.npy", FILES["g.npy"])
        if not ended:
            raise ZeroDivisionError
        folder.commit(summary(folder))

    with pytest.raises(OutputError) as caught, one_pass(out, names=names):
        pass
    assert words in str(caught.value)
    assert "changed" not in str(caught.value)


def test_digests_of_inputs(tmp_path):
    """Names, digests and their order all count, and no digests are not the same as any."""
    some = [
        Inputs(),
        Inputs(["a"]),
        Inputs(["a", "b"]),
        Inputs(["b", "a"]),
        Inputs(["a"], [b"\0"]),
        Inputs(["a"], [b"\1"]),
        Inputs(["a", "b"], [b"\0", b"\1"]),
        Inputs(["a", "b"], [b"\1", b"\0"]),
    ]
    assert len({inputs.digest() for inputs in some}) == len(some)
    assert list(Inputs(["a", "b"]).short()) == [("a", b""), ("b", b"")]
    line = b'00ff "a"\n'  # what journals and summaries hold today
    assert Inputs(["a"], [b"\0\xff"]).digest() == hashlib.sha256(line).hexdigest()
    with pytest.raises(ValueError, match="shorter"):
        Inputs(["a", "b"], [b"\0"]).digest()


@pytest.mark.parametrize(
    "output", [[], "text", 3, None, {"path": []}, {"path": {}, "sha256": "00"}]
)
def test_outputs_that_make_no_sense(tmp_path, output):
    """A summary that somebody made vouches for nothing, and is in the way."""
    (tmp_path / "out").mkdir()
    document = {"outputs": [output], "arrays": []}
    (tmp_path / "out" / "summary.json").write_text(json.dumps(document))
    with pytest.raises(OutputError, match="it exists"):
        run(tmp_path / "out")


def write(staging, name, content):
    return staging.write(name, content)


def test_other_processes_stage_files(tmp_path, whole):
    """A staging folder travels to other processes; what they wrote, also twice, is recorded."""
    out = tmp_path / "out"
    with opened(out) as folder:
        assert len(pickle.dumps(folder.staging)) < 500
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            tasks = [
                (name, pool.submit(write, folder.staging, name, content))
                for name, content in [*FILES.items(), *FILES.items()]
            ]
            for name, task in tasks:
                folder.record(name, task.result(), [0])
        folder.commit(summary(folder))

    assert tree(out) == whole


def test_a_run_that_is_over_takes_no_files(tmp_path):
    """A late process cannot bring a folder back that was swept."""
    with opened(tmp_path / "out", resume=False) as folder:
        staging = folder.staging

    with pytest.raises(FileNotFoundError):
        staging.write("a.png", b"late")
    with pytest.raises(OutputError, match="has ended"):
        folder.record("a.png", "0" * 64)
    assert list(tmp_path.iterdir()) == []


HOSTILE = [
    {"file": "../victim", "sha256": hashlib.sha256(b"keep").hexdigest(), "facts": None},
    {"file": "/victim", "sha256": hashlib.sha256(b"keep").hexdigest(), "facts": None},
    {"file": "link/victim", "sha256": hashlib.sha256(b"keep").hexdigest(), "facts": None},
    {"file": 7, "sha256": "00", "facts": None},
    {"file": "", "sha256": "00", "facts": None},
    {"file": "a", "sha256": "no digits", "facts": None},
    {"commit": ["../empty", "."]},
    {"commit": 3},
    {"inputs": 3},
    {"bncli": 1, "key": 3},
    [],
]


def test_a_journal_takes_no_more_memory_than_its_files_account_for(tmp_path):
    """A line without an end, and entries of files that are not there, are left out."""
    staging = Staging(tmp_path / ".bncli-run")
    staging.path.mkdir()
    (tmp_path / "here.png").touch()
    entry = {"sha256": "00" * 32, "facts": "x" * 1000}
    with staging.journal.open("w") as file:
        for name in ("here.png", *map(str, range(3000))):
            file.write(json.dumps({"file": name, **entry}) + "\n")
        file.truncate(file.tell() + (200 << 20))

    assert list(read_journal(staging.journal, staging.knows_of).files) == ["here.png"]
    assert least_peak(lambda: read_journal(staging.journal, staging.knows_of)) < 100 << 20


def test_a_journal_that_somebody_planted(tmp_path):
    """Lines that lead out of the folder, through links too, or make no sense, do nothing."""
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    (tmp_path / "victim").write_bytes(b"keep")
    (out / ".bncli-run").mkdir(parents=True)
    (out / "link").symlink_to(tmp_path)
    lines = [*HOSTILE, {"commit": []}]
    (out / ".bncli-run" / "journal").write_text("\n".join(map(json.dumps, lines)) + "\n[[[\n\0\n")

    undo_killed(out)
    run(out)

    assert (tmp_path / "victim").read_bytes() == b"keep"
    assert (tmp_path / "empty").is_dir()
    assert set(tree(out)) == {*FILES, "summary.json"}


def test_links_planted_among_staged_files(tmp_path):
    """Neither a staged file nor a folder of them that became a link is followed."""
    out = tmp_path / "out"
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "a.png").write_bytes(b"first")
    broken_off(out, "g.npy")
    staged = Staging(out / ".bncli-run").new("a.png")
    staged.unlink()
    staged.symlink_to(tmp_path / "victim" / "a.png")
    broken_off(out, "g.npy")
    assert not staged.is_symlink()

    (staged.parent / "sub" / "b.png").unlink()
    (staged.parent / "sub").rmdir()
    (staged.parent / "sub").symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError, match="bncli did not make this"):
        run(out)
    assert tree(tmp_path / "victim") == {"a.png": b"first"}
