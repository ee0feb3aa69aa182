"""Runs a small RunFolder again and again, dying or failing at each call that writes, and judges.

A program of its own, because every attempt is a fork. Its arguments are a folder, one of ``kill``,
``once``, ``always`` and ``twice``, and any of ``overwrite``, ``resume``, ``short`` and
``forgetful``, which plants a fault: nothing is taken back. Prints how many attempts were struck,
and a line for each fault found.

Python's audit events tell of opening, renaming, removing and making; os.write and os.fsync, which
have none, are wrapped.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path

from bncli.errors import OutputError
from bncli.storage import placing
from bncli.storage.journal import Inputs
from bncli.storage.output import RunFolder
from bncli.storage.placing import undo_killed

FILES = {"a.png": b"first", "sub/b.png": b"second", "g.npy": b"third" * 100}
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}
WRITES = os.O_CREAT | os.O_WRONLY | os.O_RDWR
DIED, REFUSED = 9, 6
ENDLESS = 1000


def run(out, *, overwrite=False, resume=False, eps=1):
    undo_killed(out)
    folder = RunFolder(out, list(FILES), overwrite=overwrite, resume=resume, key={"eps": eps})
    with folder.begin(Inputs(["in.jpg"], [bytes([eps])])):
        done = folder.finished(list(FILES))
        for name, content in FILES.items() if done is None else ():
            if folder.kept(name) is None:
                folder.write(name, content + b"%d" % eps)
        files = [{"path": name, "sha256": folder.digest(name)} for name in FILES]
        document = {"outputs": files, "arrays": [], "run": folder.key}
        if not folder.stands(document):
            folder.commit(document)


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if ".bncli-run" not in path.parts
    }


class Strike:
    """At call number *last* that writes below *out*: die, or fail, from then on if *always*."""

    def __init__(self, out, last, *, code=0, always=False):
        self.out, self.last, self.code, self.always = str(out), last, code, always
        self.count = 0

    def call(self):
        self.count += 1
        if self.count == self.last or (self.always and self.count > self.last):
            if not self.code:
                os._exit(DIED)
            raise OSError(self.code, os.strerror(self.code))

    def hook(self, event, arguments):
        if event not in EVENTS:
            return
        if event == "open":
            ours = self.out in str(arguments[0]) and arguments[2] & WRITES
        else:  # rmtree names files by the folder they are in
            ours = self.out in str(arguments[0]) or arguments[-1] != -1
        if ours:
            self.call()

    def attempt(self, **options):
        """One run in a fork of its own; its exit code, and whether it came to the call."""
        child = os.fork()
        if child:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return status & 15, bool(status & 16) or status == DIED
        code = 1
        try:
            sys.addaudithook(self.hook)
            write = os.write
            os.write = lambda *arguments: (self.call(), write(*arguments))[1]
            os.fsync = lambda _: self.call()
            run(Path(self.out), **options)
            code = 0
        except OutputError:
            code = REFUSED
        finally:
            os._exit(code + 16 * (self.count >= self.last))


class Sweep:
    def __init__(self, root, *, overwrite, resume):
        self.root, self.out = root, root / "out"
        self.options = {"overwrite": overwrite, "resume": resume}
        run(root / "new")
        self.new = tree(root / "new")
        self.before = root / "before"
        if overwrite:
            run(self.before, eps=2)
        self.before.mkdir(exist_ok=True)
        (self.before / "note").write_bytes(b"mine")
        self.new["note"] = b"mine"
        self.old = tree(self.before)
        self.struck, self.faults = 0, []

    def start(self, source):
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(source, self.out, symlinks=True)

    def strike(self, number, **how):
        code, struck = Strike(self.out, number, **how).attempt(**self.options)
        self.struck += struck
        return code, struck

    def judge(self, place):
        """No set is torn, no file is half, and a rerun ends with the bytes of an undisturbed."""
        found = tree(self.out)
        if "summary.json" in found and found not in (self.new, self.old):
            self.faults.append(f"{place}: torn")
        for name, content in found.items():
            if content is not None and content not in {self.new.get(name), self.old.get(name)}:
                self.faults.append(f"{place}: {name} is half")
        kept = self.root / "kept"
        shutil.copytree(self.out, kept, symlinks=True)
        for resume in (False, True):
            self.start(kept)
            try:
                run(self.out, overwrite=self.options["overwrite"], resume=resume)
            except OutputError as error:
                if resume or found != self.new:
                    self.faults.append(f"{place}: rerun, resume={resume}: {error}")
            else:
                if (self.out / ".bncli-run").exists():
                    self.faults.append(f"{place}: rerun, resume={resume}: staging left")
            if tree(self.out) != self.new:
                self.faults.append(f"{place}: rerun, resume={resume}: other bytes")
        shutil.rmtree(kept)

    def kill(self):
        for number in range(1, ENDLESS):
            self.start(self.before)
            if not self.strike(number)[1]:
                return
            self.judge(f"killed at {number}")

    def fail(self, *, always):
        for number in range(1, ENDLESS):
            code = (errno.ENOSPC, errno.EIO, errno.EDQUOT)[number % 3]
            self.start(self.before)
            ended, struck = self.strike(number, code=code, always=always)
            if not struck:
                return
            place = f"error at {number}"
            found = tree(self.out)
            if ended not in {0, REFUSED} or (ended == 0 and found != self.new):
                self.faults.append(f"{place}: exit {ended}")
            if ended == REFUSED and not always and found != self.old:
                self.faults.append(f"{place}: not as before")
            self.judge(place)

    def twice(self, step):
        """Die while the files are placed, and again at every call of the run that mends it."""
        for number in range(2, ENDLESS, 5 * step):
            self.start(self.before)
            if not self.strike(number)[1]:
                return
            if tree(self.out) == self.old:
                continue  # it had not begun to place them
            left = self.root / "left"
            shutil.copytree(self.out, left, symlinks=True)
            for second in range(1, ENDLESS, step):
                self.start(left)
                if not self.strike(second)[1]:
                    break
                self.judge(f"killed at {number} and {second}")
            shutil.rmtree(left)


def main():
    root, how, *flags = sys.argv[1:]
    os.fsync = lambda _: None  # nobody pulls the plug, and waiting for the disk takes most of it
    if "forgetful" in flags:
        placing.take_back = lambda *_: None
    sweep = Sweep(Path(root), overwrite="overwrite" in flags, resume="resume" in flags)
    if how == "kill":
        sweep.kill()
    elif how == "twice":
        sweep.twice(3 if "short" in flags else 1)
    else:
        sweep.fail(always=how == "always")
    sys.stdout.write("\n".join([str(sweep.struck), *sweep.faults]))


if __name__ == "__main__":
    main()
