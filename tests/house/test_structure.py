"""Each counter that judges the house is right itself, on small packages with planted faults."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from house import alike
from house.structure import Package, circles, code_lines, floors
from house.unused import unused

import bncli


@pytest.fixture
def plant(tmp_path):
    """Write a package of the given files, `room/file.py` by its text, and read it."""

    def write(**files):
        texts = {"__init__": "", **files}
        for name, text in texts.items():
            path = tmp_path / "planted" / f"{name.replace('__in__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return Package(tmp_path / "planted")

    return write


def test_lines_of_code(plant):
    """Docstrings, also of constants, comments and blank lines are free; long strings are not."""
    package = plant(
        a='''\
        """A docstring
        of two lines."""

        # a comment
        SIZE = 3  # counts
        """What it is."""
        TEXT = """one

        three"""


        def size():
            """One line."""
            return (
                SIZE
            )
        '''
    )
    assert code_lines([package.modules["planted.a"]]) == 7


def test_function_lines(plant):
    """A function is as long as its body without its docstring, in classes and functions too."""
    package = plant(
        a='class A:\n    def f(self):\n        """Say."""\n        a = 1\n\n        return a\n'
    )
    assert list(package.modules["planted.a"].functions()) == [("f", 3)]


@pytest.mark.parametrize(
    ("back", "when"),
    [
        ("from planted.room import one", "loading"),
        ("import planted.room.one", "loading"),
        ("from . import one", "loading"),
        ("from .one import x", "loading"),
        ("def f():\n    from planted.room.one import x\n    return x", "calling"),
        ("class A:\n    def f(self):\n        import planted.room.one", "calling"),
        ("if TYPE_CHECKING:\n    from planted.room.one import x", "typing"),
    ],
)
def test_circles(plant, back, when):
    """A way back closes a circle however it is written, and it is known when it is gone."""
    files = {"room__in__one": "from planted.room.two import x", "room__in__two": back}
    package = plant(**files)
    both = ["planted.room.one", "planted.room.two"]
    assert circles(package.edges()) == circles(package.edges(room="room")) == [both]
    assert circles(package.edges("loading", when)) == [both]
    assert circles(package.edges("loading")) == ([both] if when == "loading" else [])
    assert package.rooms == ["", "room"]


def test_long_circles_and_floors(plant):
    """A circle of three is one circle on one floor; who imports it stands above."""
    package = plant(
        a="import planted.b", b="import planted.c", c="import planted.a, planted.e",
        d="from planted import a", e="import json",
    )  # fmt: skip
    assert circles(package.edges()) == [["planted.a", "planted.b", "planted.c"]]
    heights = {name.rpartition(".")[2]: floor for name, floor in floors(package.edges()).items()}
    assert heights == {"planted": 1, "e": 1, "a": 2, "b": 2, "c": 2, "d": 3}
    assert package.importers()["planted.a"] == {"planted.c", "planted.d"}


DEAD = '''\
from typing import Protocol
import json
ALONE = 1
USED = 2
PAIR, OTHER = 3, 4

def first():
    """Names second, which names first: neither is ever reached."""
    return second()

def second():
    return first()

def itself():
    return itself()

class Shape(Protocol):
    def draw(self): ...

class Plain:
    def called(self):
        return USED
    def never(self):
        return PAIR

class Encoder(json.JSONEncoder):
    def default(self, value):
        return value
    def _inner(self):
        return 0

def by_name():
    return Plain().called(), Encoder(), "taken"

def taken():
    """Taken as getattr(module, "taken")."""

def in_another_python():
    """See the program."""

PROGRAM = "import sys; from planted.a import in_another_python; in_another_python()"
print(by_name(), PROGRAM)
'''


def test_dead_names(plant):
    """What nobody reaches is dead, in a ring too; what is reached by a string is not."""
    package = plant(a=DEAD, b="import planted.a", c="from planted.a import OTHER")
    assert set(unused(package)) == {
        "planted.a: ALONE", "planted.a: PAIR", "planted.a: OTHER", "planted.a: first",
        "planted.a: second", "planted.a: itself", "planted.a: Shape", "planted.a: Plain.never",
        "planted.a: Encoder._inner", "planted.b", "planted.c",
    }  # fmt: skip


def test_public_names_live(plant):
    """What the package shows is used by others, with the methods of its classes."""
    package = plant(
        __init__='__all__ = ["Shown"]\nimport planted.a',
        a="class Shown:\n    def method(self):\n        return low()\n\ndef low():\n    pass\n",
    )
    assert unused(package) == ["planted.a"]  # named by the list of public names alone


LOOP = """\
def {name}({what}, limit):
    total = 0
    for one in {what}.rows(limit, 3):
        if one.size > limit and one.kind == "{name}":
            total += one.weight(limit) * 2
        if one.size < 0:
            raise ValueError(one.size, limit)
    return total
"""


def test_alike(plant):
    """Eight lines of one shape are a pair wherever they stand; other lines are none."""
    package = plant(
        a=LOOP.format(name="weigh", what="table"), b=LOOP.format(name="sum", what="book")
    )
    (pair,) = alike.pairs(package)
    assert str(pair) == "a.py:1-8 ~ b.py:1-8  (shape)"
    same = plant(a="A = 1\n" + LOOP.format(name="f", what="t"), b=LOOP.format(name="f", what="t"))
    (pair,) = alike.pairs(same)
    assert str(pair) == "a.py:2-9 ~ b.py:1-8"


def test_not_alike(plant):
    """Five equal lines, equal imports, and lists of fields are no pairs."""
    five = "\n".join(LOOP.format(name="f", what="t").splitlines()[2:7])
    fields = "class A{0}:\n" + "".join(f"    {name}{{0}}: int\n" for name in "abcdefgh")
    imports = "".join(f"from json import dumps as d{number}\n" for number in range(9))
    files = {
        "a": f"{imports}def f(t, limit):\n{five}\n",
        "b": f"{imports}class B:\n    x = 3\ndef f(t, limit, more=None):\n{five}\n",
        "c": fields.format(1),
        "d": fields.format(2),
    }
    assert alike.pairs(plant(**files)) == []


def test_lines_of_code_are_those_with_tokens():
    """Docstrings, comments and blank lines are none; what begins like one in a string is none."""
    house = Package(Path(bncli.__file__).parent)
    files = [module for module in house.modules.values() if module.room in {"storage", "images"}]
    assert len(files) > 20
    assert {module.name for module in files if module.code != set(module.tokens)} == set()
