"""What workers on other machines must have in common with this process; the engine is made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from bncli.errors import EngineError, ImageError, OutputError
from bncli.runs import source, workers
from bncli.storage.staging import SharedStaging, Staging


class Engine:
    """Of one worker, which answers as this process does but for what *lies* makes of it."""

    remote = True

    def __init__(self, lies=lambda answer: answer):
        self.lies, self.asked = lies, []

    def everywhere(self, function, *arguments):
        self.asked.append(arguments)
        return {"w1": self.lies(function(*arguments))}


@pytest.fixture
def files(tmp_path):
    found = [tmp_path / f"{number}.png" for number in range(5)]
    for path in found:
        path.write_bytes(path.name.encode() * 3)
    return found


def test_three_files_are_looked_at(files):
    """The first, the last, and the one between; none of those that are URLs."""
    engine = Engine()
    workers.check_workers(engine, [*files, "s3://bucket/x.png"])
    ((sample,),) = engine.asked
    assert sorted(sample) == [files[0], files[2], files[4]]
    workers.check_workers(engine, ["s3://bucket/x.png"])
    assert engine.asked[1] == ([],)


def test_other_versions_are_refused(files):
    """By the name of what is another there."""
    engine = Engine(lambda answer: ({**answer[0], "numpy": "0.1"}, answer[1]))
    with pytest.raises(EngineError, match=r"worker w1: its numpy is 0\.1, here it is"):
        workers.check_workers(engine, files)


def test_a_worker_without_bncli_is_refused(files):
    """With what it answered."""
    with pytest.raises(EngineError, match=r"cannot run bncli \(ImportError: no bncli\)"):
        workers.check_workers(Engine(lambda _: ImportError("no bncli")), files)


@pytest.mark.parametrize(
    ("state", "words"), [(None, "does not see it"), ((30, 1), "sees another file there")]
)
def test_other_files_are_refused(files, state, words):
    """That are not there, or have another size or time."""
    with pytest.raises(ImageError, match=f"worker w1 {words}"):
        workers.check_workers(Engine(lambda answer: (answer[0], [state] * 3)), files)


@pytest.mark.parametrize("remote", [True, False])
def test_only_workers_elsewhere_are_asked(files, remote):
    """A process of this machine sees what this one sees."""
    engine = Engine(lambda _: ImportError("no bncli"))
    engine.remote = remote
    if remote:
        with pytest.raises(EngineError):
            source._check_workers(engine, files)
    else:
        source._check_workers(engine, files)
    assert len(engine.asked) == remote


@pytest.fixture
def stage(tmp_path):
    staging = Staging(tmp_path / ".bncli-run")
    staging.path.mkdir()
    staging.make([])
    return SharedStaging.open(staging)


def test_a_worker_that_writes_where_this_process_looks_is_let_pass(stage):
    """What it wrote to show that is gone then."""
    workers.check_output(Engine(), stage)
    assert list(stage.mark.parent.iterdir()) == [stage.mark]


@pytest.mark.parametrize("own", [None, "elsewhere"])
def test_a_worker_that_writes_elsewhere_is_refused(stage, own):
    """Or nowhere."""
    with pytest.raises(OutputError, match="worker w1 cannot write there"):
        workers.check_output(Engine(lambda _: own), stage)


def test_a_folder_of_the_same_name_on_another_machine_is_told_apart(stage):
    """The mark that lies there is not this run's: nothing is written beside it."""
    stage.mark.write_text("another")
    assert workers._try_to_write(stage.mark) is None
    assert workers._try_to_write(Path("nowhere")) is None
    assert list(stage.mark.parent.iterdir()) == [stage.mark]
