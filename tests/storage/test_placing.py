"""Files come to their places all or none, and what was begun is taken back from any state."""

from __future__ import annotations

import shutil

from oracle import tree

from bncli.storage import placing
from bncli.storage.output import RunFolder
from bncli.storage.placing import undo_killed
from bncli.storage.staging import Staging

FILES = {"a.png": b"first", "deep/er/b.png": b"second"}


def write(out, content=b""):
    with RunFolder(out, list(FILES), overwrite=True) as folder:
        for name, old in FILES.items():
            folder.write(name, content or old)
        folder.commit({"outputs": []})


def test_folders_that_were_lost_while_files_were_placed_are_made_again(tmp_path, monkeypatch):
    """Empty when all files had left them, they are needed again to take the files back."""
    out, died = tmp_path / "out", tmp_path / "died"
    write(out)
    before = tree(out)
    monkeypatch.setattr(placing, "_flush_folders", lambda *_: shutil.copytree(out, died))
    write(out, b"new")  # and the other folder is as a run leaves it that dies before its summary
    monkeypatch.undo()
    staging = Staging(died / ".bncli-run")
    assert (died / "a.png").read_bytes() == b"new"
    shutil.rmtree(staging.new("deep"))

    undo_killed(died)

    assert {name: data for name, data in tree(died).items() if ".bncli-run" not in name} == before
    assert staging.new("deep/er/b.png").read_bytes() == b"new"
