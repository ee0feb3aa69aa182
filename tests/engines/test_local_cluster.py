"""`--engine dask` by itself: workers that only this machine can reach, and that end with it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from engines.dask_processes import wait_for
from oracle import bncli, tree

from bncli import normalize_folder
from bncli.errors import OptionError

pytest.importorskip("distributed")

LISTENING = """
import os, sys
from bncli import normalize_folder

def inodes_of_children():
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            status = open(f"/proc/{name}/stat").read().rpartition(")")[2]
            parents[int(name)] = int(status.split()[1])
        except OSError:
            pass
    family = {os.getpid()}
    for _ in range(3):
        family |= {pid for pid, parent in parents.items() if parent in family}
    links = (f"/proc/{pid}/fd/{fd}" for pid in family for fd in os.listdir(f"/proc/{pid}/fd"))
    return {os.readlink(link) for link in links if os.path.lexists(link)}

def listening(inodes):
    for table in ("tcp", "tcp6"):
        for line in open(f"/proc/net/{table}").read().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                yield fields[1].partition(":")[0]

def progress(stage, done, total):
    if stage == "write" and done == total:
        print(*listening(inodes_of_children()))

normalize_folder(*sys.argv[1:], engine="dask", jobs=2, progress=progress)
"""
LOOPBACK = "0100007F"


def test_same_bytes_and_nothing_listens_elsewhere(pictures, alone, tmp_path):
    """A script without a main guard may ask for it; all its sockets listen on 127.0.0.1."""
    done = subprocess.run(
        [sys.executable, "-c", LISTENING, pictures, tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == {LOOPBACK}
    assert len(done.stdout.split()) >= 3
    assert tree(tmp_path / "out") == alone


def processes_with(mark):
    """All that inherited the mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"BNCLI_TEST_MARK={mark}".encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("engine", "number", "code"),
    [
        ("dask", signal.SIGINT, 130),
        ("dask", signal.SIGKILL, -9),
        ("processes", signal.SIGTERM, 143),
    ],
)
def test_no_process_outlives_the_run(pictures, tmp_path, planted_environment, engine, number, code):
    """However the run is ended, at a picture that takes for ever, its workers end with it."""
    environment = {**planted_environment, "BNCLI_TEST_MARK": str(tmp_path)}
    folder, reached = tmp_path / "mixed", tmp_path / "reached"
    folder.mkdir()
    for name in ("p1.png", "p2.png"):
        (folder / name).write_bytes((pictures / name).read_bytes())
    (folder / "p3-stall.png").write_bytes((pictures / "p3.png").read_bytes())
    environment["BNCLI_TEST_REACHED"] = str(reached)
    words = ["normalize", folder, "-o", tmp_path / "out", "--engine", engine, "--jobs", "2"]
    run = subprocess.Popen(
        [sys.executable, "-m", "bncli", *map(str, words)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(reached.exists)
    assert len(processes_with(tmp_path)) >= 3
    began = time.monotonic()
    run.send_signal(number)
    assert run.wait(20) == code
    wait_for(lambda: processes_with(tmp_path) == [], 10)
    assert time.monotonic() - began < 20
    assert not (tmp_path / "out").exists()


def test_nobody_answers(pictures, tmp_path):
    """A port where nothing listens, and one where something else does, are told in one line."""
    words = ["normalize", pictures, "-o", tmp_path / "out", "--engine", "dask", "--scheduler"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    run = bncli(*words, f"tcp://127.0.0.1:{port}")
    assert run.code == 2
    assert re.fullmatch(r"Error: tcp://\S+: no scheduler answers: .*refused\n", run.err)

    code = (
        "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
        "print(server.getsockname()[1], flush=True)\n"
        "peer = server.accept()[0]\npeer.sendall(b'HTTP/1.1 400 Bad Request')\npeer.recv(1)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        run = bncli(*words, f"tcp://localhost:{int(other.stdout.readline())}")
    assert run.code == 2
    assert re.fullmatch(r"Error: \S+: what answers there is no scheduler of Dask\n", run.err)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"scheduler": "nowhere"}, "--scheduler nowhere: give tcp://HOST:PORT, "),
        ({"scheduler": "ws://a:1"}, "--scheduler ws://a:1: give tcp://HOST:PORT, "),
        ({"scheduler": "tcp://a:1", "tls_ca": "x"}, "--scheduler tcp://a:1: certificates are "),
        ({"scheduler": "tls://a:1", "tls_ca": "x"}, "--tls-ca x: there is no such file"),
        ({"scheduler": "tls://a:1"}, "--scheduler tls://a:1: give --tls-ca, --tls-cert and "),
        ({"timeout": 3.0}, "--timeout is for --engine processes"),
        ({"delta": "ones"}, "--delta does not go with --engine dask"),
        ({"format": "npy"}, "--format npy does not go with --engine dask"),
    ],
)
def test_refused_options(pictures, tmp_path, options, line):
    """What cannot be asked of a cluster is refused in one line."""
    with pytest.raises(OptionError) as refusal:
        normalize_folder(pictures, tmp_path / "out", engine="dask", **options)
    assert str(refusal.value).startswith(line)
