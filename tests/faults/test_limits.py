"""What a run may take is found out, kept to, and told."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from images.handmade import grey_tiff, png, png_header, tiff
from oracle import bncli, python
from PIL import Image

from bncli import machine, normalize_folder
from bncli.errors import LimitError, OutputError
from bncli.machine import Limits
from bncli.pool import Pool
from bncli.storage.disk import free_bytes
from bncli.text import parse_number

GIGABYTE = 10**9


@pytest.fixture
def cgroup(tmp_path, monkeypatch):
    """A made-up tree of cgroups, in which the process sits at /a/b."""
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(machine, "_OWN_CGROUP", tmp_path / "self")

    def put(own, **limits):
        (tmp_path / "self").write_text(own)
        for place, text in limits.items():
            path = tmp_path / place.replace("_", "/").replace("|", "_")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return put


@pytest.mark.parametrize(
    ("own", "limits", "allowed"),
    [
        ("0::/a/b", {"a_b_memory.max": "max", "a_memory.max": "7000000"}, 7_000_000),
        ("0::/a/b", {"a_b_memory.max": "5000000", "memory.max": "9000000"}, 5_000_000),
        ("0::/", {"memory.max": "6000000"}, 6_000_000),
        ("0::/gone", {"memory.max": "6000000"}, 6_000_000),
        ("4:memory:/a\n3:cpu:/x", {"memory_a_memory.limit|in|bytes": "8000000"}, 8_000_000),
        ("4:memory:/a", {"memory_memory.limit|in|bytes": "8000001"}, 8_000_001),
    ],
)
def test_memory_of_a_cgroup(cgroup, own, limits, allowed):
    """The least limit of the process's own cgroup and those above it counts, in either version."""
    cgroup(own, **limits)

    assert machine.allowed_memory() == allowed


def test_memory_without_cgroups(cgroup):
    """No limit anywhere: what the system has available."""
    cgroup("0::/a", a_memory_max="max")

    assert (
        1 << 20
        < machine.allowed_memory()
        <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    )


def limited(size, *arguments):
    """The command under `ulimit -v`."""
    code = "import sys\nfrom bncli.cli.entry import main\nmain(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)),
    )


@pytest.mark.parametrize("startable", [1, 3])
def test_pool_does_with_the_threads_there_are(monkeypatch, startable):
    """Where the system starts no more threads, those that run do all the work."""
    start, started = threading.Thread.start, []

    def refusing(self):
        if len(started) == startable:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refusing)
    with Pool(8, "some") as pool:
        assert list(pool.map(abs, range(-40, 0))) == list(range(40, 0, -1))
    assert len(started) <= startable


def test_no_thread_at_all_is_a_limit(monkeypatch):
    """Where none can be started it is a limit, told with what it takes and what is left."""

    def refuse(_self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr("bncli.pool.address_space", lambda: 3_000_000)
    with Pool(2, "some") as pool, pytest.raises(LimitError, match=r"needs \d+ MB .* most 3 MB are"):
        pool.submit(abs, 1)


@pytest.mark.parametrize("jobs", [2, 16])
def test_threads_in_little_address_space(tmp_path, folder, jobs):
    """Under a `ulimit -v` that has room for the run, but not for all stacks, it is done."""
    run = limited(450_000_000, "normalize", folder, "-o", tmp_path / "out", "--jobs", jobs)

    assert (run.returncode, run.stderr) == (0, "")


def test_a_process_limits_its_own_memory():
    """What is over the limit that a process sets itself is refused to it, and to it alone."""
    code = (
        "from bncli.machine import limit_own_memory\nlimit_own_memory(200 << 20)\n"
        "limit_own_memory(900 << 20)\n"
        "bytearray(50 << 20)\n"
        "try: bytearray(400 << 20)\nexcept MemoryError: print('refused')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "refused\n"


def test_too_few_open_files_for_a_process(tmp_path, folder):
    """Where no process can be started it is a limit, told with its remedy, and no bug."""
    code = "import sys\nfrom bncli.cli.entry import main\nmain(sys.argv[1:])"
    run = subprocess.run(
        [sys.executable, "-c", code, "normalize", folder, "-o", tmp_path / "out",
         "--engine", "processes"],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9)),
    )  # fmt: skip

    assert run.returncode == 7
    assert "no process for the pictures can be started: Too many open files" in run.stderr
    assert "ulimit -n" in run.stderr
    assert not (tmp_path / "out").exists()


def test_address_space_is_memory(tmp_path):
    """Under `ulimit -v` a batch that cannot fit is refused with both numbers, not half read."""
    source = tmp_path / "source"
    source.mkdir()
    for name in "ab":
        (source / f"{name}.png").write_bytes(png_header(9000, 9000))
    run = limited(GIGABYTE, "normalize", source, "-o", tmp_path / "out")

    assert run.returncode == 7, run.stderr
    assert "need" in run.stderr
    assert "(limits: --max-pixels 89,478,485, --max-memory " in run.stderr
    assert run.stderr.count("\n") == 1


def bomb_tiff():
    """169 million pixels in five kilobytes: fax-packed white."""
    Image.MAX_IMAGE_PIXELS = None
    import io

    buffer = io.BytesIO()
    Image.new("1", (13_000, 13_000), 1).save(buffer, "tiff", compression="group4")
    return buffer.getvalue()


BOMBS = {
    "header.png": lambda: png_header(60_000, 60_000),
    "fax.tif": bomb_tiff,
    "deep.tif": lambda: tiff(bytes(8), grey_tiff(60_000, 60_000, 64, t339=(3, (3,)))),
    "pbm.pbm": lambda: b"P4\n30000 30000\n" + bytes(9),
    "screen.gif": lambda: b"GIF89a\xff\xff\xff\xff\0\0\0," + b"\0\0\0\0\xff\xff\xff\xff\0\2\0;",
    "colour.bmp": lambda: b"BM" + bytes(8) + b"\x36\0\0\0\x28\0\0\0" + b"\x10\x27\0\0\x10\x27\0\0"
    b"\1\0\x18\0" + bytes(24),
}  # fmt: skip


@pytest.fixture(scope="module")
def bombs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bombs")
    for name, make in BOMBS.items():
        (folder / name).write_bytes(make())
    return folder


def test_bombs(bombs, tmp_path):
    """Small files that claim huge pictures are refused unread, in little memory, with limits."""
    run = limited(GIGABYTE, "normalize", bombs, "-o", tmp_path / "out", "--json")

    assert run.returncode == 7, run.stderr
    lines = run.stderr.splitlines()
    assert len(lines) == len(BOMBS)
    for line in lines:
        assert "above the limit of 89,478,485; raise --max-pixels" in line
    assert " (limits: --max-pixels 89,478,485, --max-memory " in lines[-1]
    assert all("(limits:" not in line for line in lines[:-1])
    assert not (tmp_path / "out").exists()


def test_every_refusal_by_a_limit_tells_the_limits(folder, tmp_path):
    """Pixels, memory: the line ends with what the run may take; other refusals do not."""
    for options in ({"max_pixels": 34}, {"max_memory": 80_000_000, "resize": (9000, 9000)}):
        with pytest.raises(LimitError, match=r"\(limits: --max-pixels [0-9,]+, --max-memory "):
            normalize_folder(folder, tmp_path / "out", **options)
    assert str(Limits(34, 80_000_000)) == "--max-pixels 34, --max-memory 80 MB"
    (folder / "p1.png").write_bytes(b"")
    run = bncli("normalize", folder, "-o", tmp_path / "out", "--max-pixels", 34)
    assert run.code == 5
    assert "limits:" not in run.err


def test_memory_that_runs_out_is_a_limit(folder, tmp_path):
    """Where no plan foresaw it, memory that runs out is exit 7 and a line, not a bug."""
    code = "import bncli.runs.normalize as n\ndef starve(*_, **__): raise MemoryError\n"
    code += "n.normalize_folder = starve\nimport sys\n"
    code += "from bncli.cli.entry import main; main(sys.argv[1:])"
    run = python("-c", code, "normalize", folder, "-o", tmp_path / "out")

    assert (run.code, run.err.count("\n")) == (7, 1)
    assert "not enough memory" in run.err


def test_files_much_larger_than_their_pictures(tmp_path):
    """A file is read whole, so it is planned for: gigabytes behind a picture are refused unread."""
    source = tmp_path / "source"
    source.mkdir()
    for name in "ab":
        path = source / f"{name}.png"
        path.write_bytes(png(np.zeros((5, 7)), "grey", 8))
        os.truncate(path, 3 * GIGABYTE)  # takes no space

    with pytest.raises(LimitError, match="7x5x1 in files of up to 3,000 MB need"):
        normalize_folder(source, tmp_path / "out", max_memory=GIGABYTE)


@pytest.fixture
def free(monkeypatch):
    """Say how many bytes the disk has free."""

    def put(size):
        state = SimpleNamespace(f_bavail=size, f_frsize=1)
        monkeypatch.setattr(os, "statvfs", lambda _: state)

    return put


def test_disk_that_cannot_hold_the_arrays(folder, tmp_path, free):
    """What is written uncompressed is known beforehand: without room for it nothing begins."""
    needed = 8 * (5 + 4) * 105 + 16 * 105  # (batch + velocities and gradients) arrays of float64
    free(needed)
    summary = normalize_folder(folder, tmp_path / "out", delta="ones", dry_run=True)
    assert summary.plan.disk_free_bytes == needed < summary.plan.disk_bytes
    free(needed - 1)
    for dry_run in (True, False):
        with pytest.raises(OutputError, match=r"needs at least .* are free; free some space"):
            normalize_folder(folder, tmp_path / "out", delta="ones", dry_run=dry_run)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_tells_what_is_free(folder, tmp_path):
    """Where no lower bound is known, both numbers are told; the folder need not exist."""
    run = bncli("normalize", folder, "-o", tmp_path / "new" / "out", "-n")

    assert run.code == 0
    assert " MB of disk of " in run.out
    status = os.statvfs(tmp_path)
    assert free_bytes(tmp_path / "new" / "out") == pytest.approx(
        status.f_bavail * status.f_frsize, rel=0.1
    )


@pytest.mark.parametrize("text", ["1_0", "1e1_0", "\uff11", "0x10", "1,5", "", "one"])
def test_texts_that_are_no_number(text):
    """What Python alone takes for a number is a slip of the hand."""
    assert parse_number(text) is None


@pytest.mark.parametrize("text", ["10", "-1.5e-3", " 2 ", ".5", "inf"])
def test_numbers(text):
    """Everything else is the number that it is."""
    assert parse_number(text) == float(text)


@pytest.mark.parametrize(
    "words",
    ["normalize --gamma", "normalize --eps", "normalize --scale 0:", "normalize --seed",
     "normalize --max-pixels", "normalize --jobs", "gradcheck --eps", "gradcheck --seed"],
)  # fmt: skip
def test_options_take_no_underscores(folder, tmp_path, words):
    """--gamma 1_0 is not 10 but exit 2."""
    command, *option = f"{words}{'' if words.endswith(':') else ' '}1_0".split(" ")
    rest = [folder, "-o", tmp_path / "out"] if command == "normalize" else []
    run = bncli(command, *rest, *option)

    assert (run.code, run.err.count("\n")) == (2, 1), run.err
    assert "1_0" in run.err
    assert not (tmp_path / "out").exists()


def test_eps(folder, tmp_path):
    """eps is a finite number above 0; the least and the largest give finite numbers."""
    for text in ("0", "-1", "nan", "inf", "-inf"):
        assert bncli("normalize", folder, "-o", tmp_path / "out", "--eps", text).code == 2
    for eps in (1e-300, 5e-324, 1e300):
        out = tmp_path / f"out{eps}"
        normalize_folder(folder, out, eps=eps, format="npy", delta="ones")
        for name in ("normalized", "grad_input", "grad_gamma"):
            assert np.isfinite(np.load(out / f"{name}.npy")).all()


def test_float_pictures_of_large_offset(tmp_path, rng):
    """16-bit values near 60000 with unit noise, as floats: the variance is right to 1e-10."""
    source = tmp_path / "source"
    source.mkdir()
    batch = (60_000 + rng.integers(-1, 2, (40, 4, 6))).astype(np.float32)
    for number, picture in enumerate(batch):
        tifffile.imwrite(source / f"{number}.tif", picture)
    normalize_folder(source, tmp_path / "out", format="npy", eps=1e-12)

    wide = batch.astype(np.float64)
    expected = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-12)
    found = np.load(tmp_path / "out" / "normalized.npy")[..., 0].swapaxes(1, 2)
    assert np.abs(found - expected).max() < 1e-10
