"""How large and how entangled the package is: `python tests/house/measure.py`.

With --root the package of another tree is measured, with --python another interpreter runs its
commands (it needs what the package depends on), and --list names what is counted.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from house import alike, options, tracing
from house.structure import SINGLE, Package, circles, code_lines, floors
from house.unused import unused

FILE, FUNCTION = 250, 40
"""Lines past which a file (of code) or a function wants to become two."""


def main() -> None:
    """Measure, and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, metavar="FOLDER", help="the folder of the package")
    parser.add_argument("--python", default=sys.executable, help="what runs the commands")
    parser.add_argument("--list", action="store_true", help="name what is counted")
    asked = parser.parse_args()
    python = shutil.which(asked.python) or parser.error(f"there is no {asked.python}")
    python = str(Path(python).absolute())  # not resolved: a link is what makes a venv
    package = Package(asked.root or _own())
    counted = _counted(package, python)
    rows = [(what, len(one) if isinstance(one, list) else one) for what, one in counted.items()]
    _table(("", package.name), rows)
    _table(("room", "files", "lines of code", "import floors"), _rooms(package))
    walks = tracing.walks(package.root, python)
    _table(("main thread of", "functions entered", "in files", "calls between files"), walks)
    for what, found in counted.items() if asked.list else ():
        if isinstance(found, list):
            print(f"\n{what}:", *(f"  {one}" for one in found), sep="\n")


def _own() -> Path:
    found = [path.parent for path in Path(__file__).resolve().parents[2].glob("*/__main__.py")]
    if len(found) != 1:
        sys.exit("which package? give --root")
    return found[0]


def _counted(package: Package, python: str) -> dict[str, int | str | list[str]]:
    modules = package.modules.values()
    twice = alike.pairs(package)
    declared = options.places(package, python)
    often = sorted(declared.items(), key=lambda item: -len(item[1]))
    return {
        "files": len(modules),
        "lines of code": code_lines(modules),
        "median lines of code of a file": sorted(len(one.code) for one in modules)[
            len(modules) // 2
        ],
        "import floors": _floors(package),
        "import circles when loaded": _circles(package, "loading"),
        "import circles, with imports inside functions": _circles(package, "loading", "calling"),
        "import circles, with imports for types too": _circles(package),
        f"files over {FILE} lines of code": [
            f"{one.path} {len(one.code)}" for one in modules if len(one.code) > FILE
        ],
        f"functions over {FUNCTION} lines": [
            f"{one.path} {name} {length}"
            for one in modules
            for name, length in one.functions()
            if length > FUNCTION
        ],
        "files with exactly one importer": one_importer(package),
        "names that nothing uses": unused(package),
        "pairs of six or more alike lines": [str(pair) for pair in twice],
        "of these the same to the letter": sum(pair.same for pair in twice),
        "options": len(declared),
        "places that declare one or have a field of its name": sum(map(len, declared.values())),
        "options with more than one such place": [
            f"{flag} {len(places)}: {', '.join(places)}"
            for flag, places in often
            if len(places) > 1
        ],
        "the option with the most": f"{often[0][0]}: {len(often[0][1])}",
    }


def one_importer(package: Package) -> list[str]:
    """Files that one other file alone imports, and whether that is in another room or late."""
    late = {(one.importer, one.file) for one in package.imports if one.when == "calling"}
    found = []
    for name, above in package.importers().items():
        if len(above) == 1:
            (importer,) = above
            rooms = {package.modules[one].room for one in (name, importer)}
            notes = ["door"] * (len(rooms) == 2) + ["late"] * ((importer, name) in late)
            remark = f" ({', '.join(notes)})" if notes else ""
            found.append(
                f"{package.modules[name].path} by {package.modules[importer].path}{remark}"
            )
    return found


def _circles(package: Package, *whens: str) -> list[str]:
    return [" - ".join(group) for group in circles(package.edges(*whens))]


def _floors(package: Package, room: str | None = None) -> int:
    return max(floors(package.edges("loading", "calling", room=room)).values())


def _rooms(package: Package) -> Iterable[Sequence[object]]:
    for room in package.rooms:
        modules = package.within(room)
        title = "single files" if room == SINGLE else room
        yield title, len(modules), code_lines(modules), _floors(package, room)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    texts = [[str(cell) for cell in row] for row in rows]
    wide = [max(map(len, column)) for column in zip(head, *texts, strict=True)]
    print()
    for cells in (head, ["-" * width for width in wide], *texts):
        padded = (cell.ljust(width) for cell, width in zip(cells, wide, strict=True))
        print(f"| {' | '.join(padded)} |")


if __name__ == "__main__":
    main()
