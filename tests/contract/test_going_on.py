"""A run that was killed goes on where it was: asked of every command that fills a folder."""

from __future__ import annotations

from contract.commands import FOLDERS, asked_of
from oracle import tree


@asked_of(*FOLDERS, engines=("local", "processes"))
def test_resume_after_a_kill(desk):
    """Killed (-9) after three pictures: --resume leaves what an undisturbed run leaves."""
    whole = desk.done(out=desk.place / "undisturbed")
    desk.killed(3, resume=True)
    assert "summary.json" not in tree(desk.out)
    planned = desk.ask("--resume", "-n", "--json")
    assert planned.code == 0, planned.err
    if desk.cell.format != "npy":
        assert planned.document["plan"]["whole_files"] >= 2
    assert desk.done("--resume") == whole


@asked_of(*FOLDERS)
def test_resume_of_nothing(desk):
    """Where nothing was begun --resume is a run like any other."""
    whole = desk.done(out=desk.place / "undisturbed")
    assert desk.done("--resume") == whole


@asked_of(*FOLDERS)
def test_resume_of_a_whole_run(desk):
    """It is verified: the same document, not a file touched; what was damaged is made anew."""
    first = desk.ask("--json")
    before = {path: path.stat().st_mtime_ns for path in desk.out.rglob("*")}
    whole = desk.left()
    again = desk.ask("--resume", "--json", "--jobs", "2")
    assert again == first
    assert {path: path.stat().st_mtime_ns for path in desk.out.rglob("*")} == before
    victim = first.document["outputs"][2]["path"]
    (desk.out / victim).write_bytes(b"damaged")
    assert desk.done("--resume") == whole


@asked_of(*FOLDERS)
def test_resume_refuses_a_picture_that_changed(desk):
    """Exit 6, with its name, in a dry run too; what is there stays, and is gone on with again."""
    whole = desk.done()
    victim = desk.picture("p2")
    before = victim.read_bytes()
    victim.write_bytes(desk.picture("p1").read_bytes())
    for options in (("--resume",), ("--resume", "-n")):
        assert f"input changed: {victim.name}" in desk.refused(6, *options, lines=1).err
    victim.write_bytes(before)
    assert desk.done("--resume") == whole


@asked_of(*FOLDERS)
def test_resume_refuses_another_run(desk):
    """Inputs that would give other bytes: exit 6, which, and nothing is touched."""
    desk.done()
    name = desk.picture("p11").name
    ran = desk.refused(6, "--resume", "--exclude", name, lines=1)
    assert f"input gone: {name}" in ran.err


@asked_of(*FOLDERS, formats=("png", "npy"))
def test_without_resume_a_killed_run_is_begun_anew(desk):
    """What was staged is swept, and the run is whole."""
    whole = desk.done(out=desk.place / "undisturbed")
    desk.killed(3)
    assert desk.done() == whole
