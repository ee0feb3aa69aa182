"""The maker of mistakes tells the truth: what it calls survived did survive, and nothing else."""

from __future__ import annotations

import pytest
from house import changes, mutants

CODE = '''
"""Text with a number, 1, and a < b."""
def larger(a: int, b: int) -> int:
    return a if a > b else b
'''
TESTS = """
import subprocess, sys
from toy.room.code import larger

def test_in_another_process(tmp_path):
    code = "import sys; from toy.room.code import larger; sys.exit(larger(1, 2) != 2)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path)
    assert done.returncode == 0
"""


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Of a package of one function, which its tests call in a process of their own alone."""
    root = tmp_path_factory.mktemp("toy")
    for name, text in {
        "toy/__init__.py": "",
        "toy/room/code.py": CODE,
        "tests/room/test_code.py": TESTS,
        "pytest.ini": "[pytest]\npythonpath = tests",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    place = tmp_path_factory.mktemp("state")
    return mutants.Room(mutants.Copy(root, place, "toy"), "room")


def test_killed_and_survived_are_told_apart(room):
    """What only a process started by a test meets is noticed; a change of nothing is not."""
    found = {one.after: one for one in changes.changes_of("toy/room/code.py", CODE)}
    assert room.choose(found["False"]) == ["tests/room/test_code.py::test_in_another_process"]
    assert room.judge(found["True"]) == mutants.KILLED
    assert room.judge(found["(a >= b)"]) == mutants.SURVIVED
    assert (room.copy.package / "room" / "code.py").read_text() == CODE


def test_each_change_is_one_and_of_what_runs():
    """Nothing is changed in texts and annotations, and every change is other code that compiles."""
    found = changes.changes_of("code.py", CODE)
    assert [one.after for one in found] == ["None", "True", "False", "(a >= b)"]
    for one in found:
        changed = one.made_in(CODE.encode())
        assert changed != CODE.encode()
        compile(changed, "code.py", "exec")


def test_a_sample_is_even():
    """Each statement is taken once before any is taken twice, and a seed is one sample."""
    code = "a = 1 + 2 + 3 + 4 + 5\nb = 1\nc = 2\n"
    found = changes.changes_of("code.py", code)
    assert sorted(one.line for one in changes.sample(found, 3, seed=0)) == [1, 2, 3]
    assert changes.sample(found, 5, seed=1) == changes.sample(found, 5, seed=1)
    assert len(changes.sample(found, 100, seed=0)) == len(found)
