"""Documents that the strictest reader of JSON takes, whatever the names in them."""

from __future__ import annotations

import json
import os
import re

import numpy as np
from hypothesis import given
from hypothesis.strategies import binary, dictionaries, lists, text
from oracle import bncli
from PIL import Image

from bncli.text import with_whole_names

WORDS = 'a\\"udcf8\0\x1b\x80\n\u202e\ufffd\U0010fc80'


def name_in(text):
    """The file name that a string of a document stands for, as Python's functions take it."""
    return re.sub("\0([\x80-\xff])", lambda match: chr(0xDC00 + ord(match[1])), text)


def strict(content):
    """Read a document as a reader does that knows no lone surrogates: by way of UTF-8."""
    document = json.loads(content)
    json.dumps(document, ensure_ascii=False).encode("utf-8")
    return document


@given(names=lists(binary().map(lambda name: name.replace(b"\0", b"")), max_size=4))
def test_any_name_comes_back(names):
    """Every name that a file system allows is valid in a document, and found again in it."""
    content = with_whole_names(json.dumps({"names": [os.fsdecode(name) for name in names]}))

    assert content.isascii()
    found = strict(content)["names"]
    assert [os.fsencode(name_in(name)) for name in found] == names


@given(document=dictionaries(text(WORDS), text(WORDS)))
def test_other_text_is_left_alone(document):
    """Text without lone surrogates is what the standard library makes of it."""
    assert with_whole_names(json.dumps(document)) == json.dumps(document)


def test_what_looks_like_an_escape():
    """Backslashes of a name are its own, and whole pairs are characters."""
    names = ["\\udcff", "\\\\udcff", "\U00010080\U0001f600", "\udcff\\\udcfe", "\U0010fc80"]

    assert [
        name_in(name) for name in strict(with_whole_names(json.dumps({"n": names})))["n"]
    ] == names


def test_names_of_a_run(tmp_path):
    """--json and summary.json name such files in every place, on success and on failure."""
    source = tmp_path / "source"
    source.mkdir()
    names = [b"\xff\xfe1.png", "\U0001f600\u202e2.png".encode(), b"\\udcff3.png"]
    for name in names:
        with open(os.fsencode(source) + b"/" + name, "wb") as file:
            Image.fromarray(np.zeros((2, 3), np.uint8)).save(file, "png")
    run = bncli("normalize", source, "-o", tmp_path / "out", "--json")
    assert run.code == 0, run.err
    document = strict(run.out)
    assert strict((tmp_path / "out" / "summary.json").read_text()) == document
    for key in ("source", "path"):
        assert {os.fsencode(name_in(o[key])) for o in document["outputs"]} == set(names)

    with open(os.fsencode(source) + b"/" + names[0], "wb"):
        pass
    run = bncli("normalize", source, "-o", tmp_path / "no", "--json")
    assert run.code == 5
    [path] = strict(run.out)["error"]["paths"]
    assert os.fsencode(name_in(path)) == names[0]
    run = bncli("normalize", source, "-o", tmp_path / "no", "--json", "--on-error", "skip")
    assert os.fsencode(name_in(strict(run.out)["skipped"][0]["source"])) == names[0]
