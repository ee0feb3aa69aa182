"""What a check in a child process tells its parent, without starting one."""

from __future__ import annotations

import decimal
import io
import queue
from types import SimpleNamespace

import numpy as np
import pytest

from bncli.checking import child, loading
from bncli.checking.question import Request
from bncli.checking.target import Caller, TargetFailure
from bncli.errors import TargetError


def told(monkeypatch, request, examine):
    """The messages of a check; *examine* is asked in place of the checker."""
    seen = []

    class Examination:
        def __init__(self, request, *_):
            seen.append(request)

        def run(self, *_):
            return examine()

    monkeypatch.setattr(child, "Examination", Examination)
    stream = io.BytesIO()
    child._run({"target": "x", "maps": True, "request": request}, {}, stream)
    stream.seek(0)
    return seen[0], list(iter(lambda: child.receive(stream), None))


def test_a_bug_of_the_checker_is_told_with_its_trace(monkeypatch):
    """And nothing else, so that the parent does not take it for a fault of the layer."""
    request = {"shape": None, "only": ["grad_gamma"]}
    _, messages = told(monkeypatch, request, lambda: 1 / 0)
    ((message, arrays),) = messages
    assert message["kind"] == "bug"
    assert message["trace"].endswith("ZeroDivisionError: division by zero\n")
    assert arrays == {}


@pytest.mark.parametrize("shape", [None, [4, 3, 2, 1]])
@pytest.mark.parametrize("only", [[], ["grad_gamma", "grad_beta"]])
def test_a_request_arrives_as_it_was_sent(monkeypatch, shape, only):
    """JSON has lists for its tuples, and none where nothing was asked."""
    report = SimpleNamespace(maps={"grad_input": np.ones((2, 1))}, document=lambda: {"status": "x"})
    request, messages = told(monkeypatch, {"shape": shape, "only": only}, lambda: report)
    assert request == Request(shape=shape and tuple(shape), only=only and tuple(only))
    ((message, arrays),) = messages
    assert message == {"kind": "report", "document": {"status": "x"}}
    assert np.array_equal(arrays["grad_input"], np.ones((2, 1)))


def test_the_end_is_told_though_the_output_stays_open():
    """When the process is over, and its last words had a second to arrive."""
    done, messages = [], queue.Queue()
    process = SimpleNamespace(wait=lambda: done.append("wait"))
    listener = SimpleNamespace(join=done.append)
    child._outlive(process, listener, messages)
    assert done == ["wait", 1.0]
    assert messages.get_nowait() is None


def test_a_module_is_looked_for_once(tmp_path, monkeypatch):
    """What is missing though a folder above has its name is told, and not tried forever."""
    monkeypatch.setattr("sys.path", [])
    (tmp_path / "helper").mkdir()
    runs = []

    def run():
        runs.append(1)
        if len(runs) > 5:
            pytest.fail("it goes on and on")
        raise TargetFailure("ModuleNotFoundError: No module named 'helper.part'")

    with pytest.raises(TargetFailure):
        loading._with_neighbours(tmp_path / "layer.py", run)
    assert len(runs) == 2


def test_a_target_is_of_a_module_or_a_file(tmp_path):
    """By what ends in .py and what does not."""
    (tmp_path / "made.py").write_text("class Layer:\n    from_file = True\n")
    assert loading.load_target("decimal:Decimal", Caller()) is decimal.Decimal
    assert loading.load_target(f"{tmp_path}/made.py:Layer", Caller()).from_file
    with pytest.raises(TargetError, match="a file must end in"):
        loading.load_target(f"{tmp_path}/made:Layer", Caller())
