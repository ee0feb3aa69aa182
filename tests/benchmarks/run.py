"""Every benchmark in one table: ``python tests/benchmarks/run.py [--quick] [SECTION...]``.

Sections: folder, grey16, small, large, kernels, growth, memory, start. Peers come with the extra
``bench``; those that are not installed are left out. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import Cost, cost_of, print_table, side_by_side
from pictures import make_set

HERE = Path(__file__).parent
PYTHON = sys.executable
NEEDS = {"torch6": "torch", "torch1": "torch", "opencv": "cv2"}
Section = Callable[[Path, bool], None]


def command_of(name: str, source: Path) -> Callable[[Path], list[str]]:
    """The command line of bncli or of a peer."""
    if name == "bncli":
        return lambda out: [PYTHON, "-m", "bncli", "normalize", str(source), "-o", str(out), "-q"]
    if name == "bncli, zlib":
        hidden = "import sys; sys.modules['isal'] = None; from bncli.cli.entry import main; main()"
        return lambda out: [
            PYTHON, "-c", hidden, "normalize", str(source), "-o", str(out), "-q",
        ]  # fmt: skip
    return lambda out: [PYTHON, str(HERE / "peers.py"), name, str(source), str(out)]


def folder_job(title: str, names: list[str], source: Path, place: Path, runs: int) -> None:
    """bncli beside its peers on one set, and the bytes that each writes."""
    names = [n for n in names if n not in NEEDS or importlib.util.find_spec(NEEDS[n])]
    commands = {name: command_of(name, source) for name in names}
    costs = side_by_side(commands, place / "out", runs)
    print_table(title, costs, "bncli")
    for name in ("bncli", "bncli, zlib", "numpy"):
        if name in commands:
            cost_of_size(name, commands[name], place / "out")


def cost_of_size(name: str, command: Callable[[Path], list[str]], out: Path) -> None:
    """The bytes of all the PNG files a command writes."""
    side_by_side({name: command}, out, 1)
    size = sum(path.stat().st_size for path in out.glob("*.png"))
    print(f"  {name:16}writes {size / 1e6:.2f} MB of PNG")


def folder(place: Path, quick: bool) -> None:
    source = make_set(place / "jpeg", "jpeg", *((4, (64, 43)) if quick else (128, (640, 427))))
    names = ["bncli", "bncli, zlib", "numpy", "torch6", "torch1", "opencv", "floor"]
    folder_job("folder: JPEG 640x427 to PNG", names, source, place, 1 if quick else 3)


def grey16(place: Path, quick: bool) -> None:
    source = make_set(place / "grey16", "grey16", 4 if quick else 128, (640, 427))
    names = ["bncli", "numpy", "torch6", "torch1", "opencv", "floor"]
    folder_job("grey16: 16-bit PNG 640x427", names, source, place, 1 if quick else 3)


def small(place: Path, quick: bool) -> None:
    source = make_set(place / "small", "jpeg", 50 if quick else 5000, (64, 64))
    names = ["bncli", "numpy", "torch6", "opencv", "floor"]
    folder_job("small: JPEG 64x64", names, source, place, 1 if quick else 3)


def large(place: Path, quick: bool) -> None:
    size = (400, 300) if quick else (4000, 3000)
    source = make_set(place / "large", "jpeg", 2 if quick else 20, size)
    names = ["bncli", "opencv", "floor"]
    folder_job("large: JPEG 4000x3000", names, source, place, 1)


def kernels(place: Path, quick: bool) -> None:
    """In a process of its own: a child's peak memory begins with what its parent holds."""
    del place
    command = [PYTHON, str(HERE / "kernels.py"), *(["--quick"] if quick else [])]
    print(subprocess.run(command, capture_output=True, text=True, check=True).stdout, end="")


def growth(place: Path, quick: bool) -> None:
    """Time per picture and peak memory as the batch grows, past what may be kept."""
    print("\ngrowth: JPEG 160x120, at most 128 MB of memory")
    for count in (10, 20) if quick else (100, 1000, 10000):
        source = make_set(place / f"growth{count}", "jpeg", count, (160, 120))
        command = command_of("bncli", source)
        limited = lambda out, command=command: [*command(out), "--max-memory", "128MB"]  # noqa: E731
        cost = side_by_side({"bncli": limited}, place / "out", 1 if quick else 3)["bncli"]
        print(f"  {count:6} pictures {cost.wall / count * 1e3:8.2f} ms each{cost.peak:8.0f} MB")


def memory(place: Path, quick: bool) -> None:
    """A batch whose float64 array is 7 GB, in 256 MB."""
    count = 4 if quick else 1070
    source = make_set(place / f"memory{count}", "jpeg", count, (640, 427))
    command = [*command_of("bncli", source)(place / "out"), "--max-memory", "256M", "--overwrite"]
    cost = cost_of(command)
    array = count * 640 * 427 * 3 * 8
    print(f"\nmemory: float64 array {array / 1e9:.1f} GB, --max-memory 256M (268 MB)")
    print(f"  peak {cost.peak:.0f} MB, {cost.wall:.1f} s")


def start(place: Path, quick: bool) -> None:
    """Start-up: bncli --help beside Python itself."""
    commands: dict[str, Callable[[Path], list[str]]] = {
        "python": lambda _: [PYTHON, "-c", ""],
        "bncli --help": lambda _: [PYTHON, "-m", "bncli", "--help"],
    }
    costs: dict[str, Cost] = side_by_side(commands, place / "out", 1 if quick else 9)
    print_table("start", costs, "python")


SECTIONS: dict[str, Section] = {
    "folder": folder, "grey16": grey16, "small": small, "large": large, "kernels": kernels,
    "growth": growth, "memory": memory, "start": start,
}  # fmt: skip


def main() -> None:
    """Run the sections that are asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", choices=[*SECTIONS, []])
    parser.add_argument("--quick", action="store_true", help="tiny sets, one run: does it work?")
    parser.add_argument("--place", type=Path, help="a folder for the pictures, kept for next time")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    with tempfile.TemporaryDirectory() as scratch:
        place = arguments.place or Path(scratch)
        for name in arguments.sections or SECTIONS:
            SECTIONS[name](place, arguments.quick)


if __name__ == "__main__":
    main()
