"""`--engine processes` believes nothing that a process says which a file has taken over."""

from __future__ import annotations

import io
import sys
import time
import tracemalloc
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import pytest
from engines.hostile import DEEDS, FRAMES, File, frame, look

from bncli.batchnorm.moments import part_for
from bncli.engines import answers, processes
from bncli.engines.answers import DONE, RAISED, AnswerError, read_answer, write_answer
from bncli.engines.processes import Processes
from bncli.engines.raised import error_told, told_error
from bncli.engines.work import FoldWork, MapWork
from bncli.errors import EngineError, ImageError
from bncli.images.batch import Fault
from bncli.runs.reading import Collecting

ENDS = "it ends the process that reads it ("
NO_ANSWER = f"{ENDS}its answer is no answer of bncli: "
STALLED = "it takes longer than 1 s; remove it, or raise --timeout"


@pytest.fixture
def results(monkeypatch):
    """What is made of three files by one process, and how much memory that took here."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setattr(answers, "allowed_memory", lambda: 100 << 20)

    def made(*files):
        began = time.monotonic()
        tracemalloc.start()
        with Processes(1, 1.0, nullcontext) as engine:
            engine._length = len  # one chunk
            found = list(engine.map(look, files))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 110 << 20
        assert time.monotonic() - began < 30
        return found

    return made


def is_answer_of(content):
    """Whether a process that says this has answered the question what three files are."""
    kind, value = read_answer(io.BytesIO(content))
    if kind == RAISED:
        return error_told(value) is not None
    return kind == DONE and MapWork(look).is_answer()(value, 3)


@pytest.mark.parametrize("name", FRAMES)
def test_no_answer(name, tmp_path):
    """What is not data, or not the data that was asked for, is found to be none; nothing is run."""
    mark = tmp_path / "mark"
    content = FRAMES[name](str(mark)) if callable(FRAMES[name]) else FRAMES[name]
    problem = None
    with suppress(EOFError):
        try:
            assert not is_answer_of(content)
        except AnswerError as error:
            problem = str(error)
    assert problem is None or (0 < len(problem) < 100 and "\n" not in problem)
    assert not mark.exists()


def test_the_test_knows_answers():
    """The test above is not one that refuses everything."""
    fault = ["Fault", "x", "y", False]
    assert is_answer_of(frame(["list", "a", fault, "c"]))
    error = told_error(ImageError("a", "b", paths=("c",)))
    out = io.BytesIO()
    write_answer(out, RAISED, error)
    assert is_answer_of(out.getvalue())


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_sums_of_others(dtype):
    """Sums of another kind or of other pixels are not those that were asked for."""
    fold = Collecting(4, np.dtype(dtype), 8)
    is_answer, rows = FoldWork(fold).is_answer(), np.ones((3, 4), dtype)
    fact = "0" * 64

    def sums(rows):
        part = part_for(rows.shape[1], rows.dtype)
        part.add(rows)
        return part

    assert is_answer(([fact, Fault("a", "b")], sums(rows)), 2)
    assert not is_answer(([fact], sums(rows)), 2)
    assert not is_answer(([fact, 1], sums(rows)), 2)
    assert not is_answer([[fact], sums(rows)], 1)
    assert not is_answer(([fact], sums(rows[:, :1])), 1)
    assert not is_answer(([fact], None), 1)
    for other in {np.uint8, np.int32, np.float32} - {dtype}:
        assert not is_answer(([fact], sums(rows.astype(other))), 1)


SOME = [
    "a pickle", "another kind", "a huge text", "half a block", "deep lists", "an error of no kind",
    "fields of another type", "too few results", *(DEEDS.keys() - FRAMES.keys()),
]  # fmt: skip


@pytest.mark.parametrize("deed", sorted(SOME))
def test_only_the_file_is_lost(deed, results, tmp_path):
    """Whatever it makes its process say or do, it is named, the others are read; nothing is run."""
    first, bad, last = results(
        File("a.png"), File("b.png", deed, str(tmp_path / "mark")), File("c.png")
    )
    expected = {"a drip": STALLED, "silence": STALLED, "a child that drips": STALLED}
    if deed == "blame":  # it names whoever it likes, but ends with itself
        assert (first, bad.name, last.name) == ("read a.png", "b.png", "c.png")
        assert last.reason.startswith(NO_ANSWER)
    else:
        assert (first, last) == ("read a.png", "read c.png")
    assert isinstance(bad, Fault)
    assert bad.name == "b.png"
    assert bad.reason.startswith(expected.get(deed, ENDS))
    if deed in FRAMES and deed != "half a block":
        assert bad.reason.startswith(NO_ANSWER)
    assert "\n" not in bad.reason
    assert not (tmp_path / "mark").exists()


def test_a_process_that_never_works(results, monkeypatch):
    """Where no file is left to be blamed the run ends, instead of starting processes for ever."""
    monkeypatch.setattr(processes, "interpreter", lambda _: [sys.executable, "-c", ""])
    with pytest.raises(EngineError, match="a process for the pictures cannot be started: exit"):
        results(File("a.png"))


def test_a_process_that_never_begins(results, monkeypatch):
    """One that takes what it is given and says nothing is not waited for without end."""
    monkeypatch.setattr(processes, "_START_SECONDS", 0.5)
    program = "import time; time.sleep(100)"
    monkeypatch.setattr(processes, "interpreter", lambda _: [sys.executable, "-c", program])
    with pytest.raises(EngineError, match=r"cannot be started: it does not begin within 0\.5 s"):
        results(File("a.png" * (1 << 18)))  # more than a pipe holds
