"""The pages as text: whole, closed, by themselves, the same every time, and names stay text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from html_reading import Page
from hypothesis import given
from hypothesis.strategies import floats, lists, text
from oracle import bncli
from PIL import Image

pytest.importorskip("jinja2")

from bncli.drawing.chart import chart, nice_marks
from bncli.drawing.template import visible

TARGETS = Path(__file__).parent.parent / "checking" / "targets"
HOSTILE = [b"<img src=x onerror=alert(1)>.png", b'"><script>alert(1)<', b"rtl\xe2\x80\xaegpj.png",
           b"new\nline.png", b"\xff\xfe.png", b"{{ 7*7 }}.png", b"esc\x1b[2J.png",
           "日本 é.png".encode()]  # fmt: skip


def hostile_folder(path):
    rng = np.random.default_rng(0)
    path.mkdir()
    for name in HOSTILE:
        pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        suffix = b"" if name.endswith(b".png") else b".png"
        with open(bytes(path) + b"/" + name + suffix, "wb") as file:
            Image.fromarray(pixels).save(file, "PNG")
    return path


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Name -> the bytes of a page: a run over hostile names, and three checks."""
    place = tmp_path_factory.mktemp("pages")
    source = hostile_folder(place / "in")
    run = bncli(
        "normalize", source, "-o", place / "out", "--delta", "random", "--scale", "sigma:1",
        "--report", place / "run.html", "-q",
    )  # fmt: skip
    assert (run.code, run.err) == (0, "")
    checks = {
        "wrong": (1, [f"{TARGETS / 'published.py'}:BatchNormalization", "--images", source]),
        "right": (0, []),
        "inconclusive": (3, [f"{TARGETS / 'troubled.py'}:Hangs", "--timeout", "0.5"]),
    }
    for name, (code, arguments) in checks.items():
        run = bncli("gradcheck", *arguments, "--report", place / f"{name}.html", "-q")
        assert run.code == code, run.err
    return {path.stem: path.read_bytes() for path in place.glob("*.html")}


def each(pages):
    return [(name, content, Page(content)) for name, content in sorted(pages.items())]


def test_pages_are_whole_and_by_themselves(pages):
    """Every tag is closed; nothing is fetched; the policy allows our style and script alone."""
    assert set(pages) == {"run", "wrong", "right", "inconclusive"}
    for _, content, page in each(pages):
        for attributes in page.named("img") + page.named("image"):
            address = attributes.get("src") or attributes.get("href")
            assert address.startswith("data:image/png;base64,")
            assert base64.b64decode(address.partition(",")[2]).startswith(b"\x89PNG")
        assert {tag for tag, _ in page.tags} & {"link", "iframe", "object", "form", "base"} == set()
        assert all("style" not in attributes for _, attributes in page.tags)
        assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
        links = [attributes["href"] for attributes in page.named("a")]
        assert all(link.startswith("#") for link in links)
        assert b"http://" not in content
        assert b"https://" not in content

        policy = next(m["content"] for m in page.named("meta") if "http-equiv" in m)
        assert policy.startswith("default-src 'none'; img-src data:;")
        assert "unsafe" not in policy
        for tag in ("style", "script"):
            (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), content, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(inside).digest()).decode()
            assert f"'sha256-{digest}'" in policy


def test_pages_can_be_read_by_anybody(pages):
    """A language, one first heading, no level left out, names for pictures, tables and controls."""
    for _, _, page in each(pages):
        assert page.named("html") == [{"lang": "en"}]
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert all(attributes.get("alt") for attributes in page.named("img"))
        assert all(attributes.get("aria-label") for attributes in page.named("svg"))
        assert all(attributes.get("aria-label") for attributes in page.named("input"))
        assert all(attributes.get("scope") for attributes in page.named("th"))
        identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(identities) == len(set(identities))


def test_hostile_names_stay_text(pages):
    """What a name holds is read as text; what steers is shown as an escape."""
    page = Page(pages["run"])

    assert len(page.named("script")) == 1
    assert all("onerror" not in attributes for _, attributes in page.tags)
    for name in ("<img src=x onerror=alert(1)>.png", '"><script>alert(1)<.png', "{{ 7*7 }}.png",
                 r"rtl\u202egpj.png", r"new\nline.png", r"\xff\xfe.png", r"esc\x1b[2J.png",
                 "日本 é.png"):  # fmt: skip
        assert page.text.count(name) >= 2
    for byte in ("\u202e", "\x1b", "\udcff"):
        assert byte not in page.text


@given(name=text())
def test_visible_text(name):
    """Any text becomes markup whose text is printable, and that of a plain name is the name."""
    page = Page(str(visible(name)).encode())
    assert page.text.isprintable()
    assert {tag for tag, _ in page.tags} <= {"bdi", "span"}
    if name.isprintable():
        assert page.text == name


def test_a_run_tells_its_numbers(pages, tmp_path):
    """Verdict, counts, every hash and the command are those of summary.json."""
    source = hostile_folder(tmp_path / "in")
    run = bncli("normalize", source, "-o", "out", "--report", "r.html", "--json", cwd=tmp_path)
    page = Page((tmp_path / "r.html").read_bytes())
    words = " ".join(page.text.split())

    assert "all 8 pictures are written" in words
    assert f"bncli {run.document['version']}." in words
    assert f"bncli normalize {source} -o out --report r.html --json" in words
    for output in [*run.document["outputs"], *run.document["arrays"]]:
        assert output["sha256"] in words
    for channel in run.document["channels"]:
        assert f"{channel['mean']:.6g}" in words
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == run.document


def test_skipped_files_come_first(tmp_path):
    """A run that is not whole says so in its verdict, and names each file with the reason."""
    source = hostile_folder(tmp_path / "in")
    (source / "<b>bad.png").write_bytes(b"no picture")
    run = bncli("normalize", source, "-o", "out", "--report", "r.html", "--on-error", "skip", "-q",
                cwd=tmp_path)  # fmt: skip
    page = Page((tmp_path / "r.html").read_bytes())

    assert run.code == 3
    assert "Finished, but not whole: 1 skipped" in page.text
    assert "<b>bad.png" in page.text
    assert "all 8 pictures" not in page.text


def test_clipped_values_have_a_share(tmp_path):
    """Clipped values are told with their share, where the format clips."""
    source = hostile_folder(tmp_path / "in")
    for name, scale in (("clips", ["--scale", "none"]), ("holds", ["--format", "tiff"])):
        run = bncli("normalize", source, "-o", name, "--report", f"{name}.html", "--json", *scale,
                    cwd=tmp_path)  # fmt: skip
        words = " ".join(Page((tmp_path / f"{name}.html").read_bytes()).text.split())
        clipped = run.document["clipped_values"]
        if name == "clips":
            assert f"{clipped:,} {100 * clipped / (8 * 30 * 40 * 3):.3g} %" in words
        else:
            assert "clipped values" not in words


def test_a_hundred_thousand_outputs(tmp_path, pages):
    """The page names the first thousand and says where the others are named; it stays small."""
    from bncli.drawing import run_page
    from bncli.runs.normalize import normalize_folder

    kept = []
    original = run_page.render
    source = hostile_folder(tmp_path / "in")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_page, "render", lambda *facts: kept.append(facts) or original(*facts))
        normalize_folder(source, tmp_path / "out", report=tmp_path / "r.html")
    name, facts = kept[0]
    document = dict(facts["document"])
    one = document["outputs"][0]
    document["outputs"] = [{**one, "index": index} for index in range(100_000)]
    outputs = document["outputs"][: run_page.LISTED]
    content = original(name, {**facts, "document": document, "outputs": outputs})
    page = Page(content)

    assert len(content) < 2_000_000
    assert (
        "100,000 pictures, the first 1,000 of them here; summary.json names them all" in page.text
    )


def test_a_wrong_gradient_is_explained(pages):
    """Verdict, the marked terms, the fit, rings on the maps, and the worst elements by number."""
    page = Page(pages["wrong"])
    words = " ".join(page.text.split())

    assert "FAIL: grad_input is wrong" in words
    marked = [a for a in page.named("span") if a.get("class") == "term wrong"]
    assert len(marked) == 2
    assert "1/P * mean(delta)" in words
    assert "B/P * x_norm * mean(delta * x_norm)" in words
    assert "should be (1, 1, 1)" in words
    rings = [a for a in page.named("circle") if a.get("class") == "ring"]
    assert len(rings) == 5
    assert "Rings are the worst elements" in words
    assert "seed 0" in words
    assert "bncli gradcheck" in words


def test_right_and_inconclusive_pages(pages):
    """A right layer has no maps of nothing; an inconclusive check says why."""
    right = Page(pages["right"])
    assert "PASS: the backward is right" in right.text
    assert "Nowhere to be seen" in right.text
    assert right.named("circle") == []
    assert "INCONCLUSIVE: " in Page(pages["inconclusive"]).text


@pytest.mark.parametrize("name", ["wrong", "right"])
def test_checks_give_the_same_page_again(pages, tmp_path, name):
    """The same check gives the same bytes."""
    arguments = [] if name == "right" else [f"{TARGETS / 'published.py'}:BatchNormalization"]
    for again in "ab":
        bncli("gradcheck", *arguments, "--report", tmp_path / f"{again}.html", "-q")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


@given(low=floats(-1e9, 1e9), width=floats(1e-6, 1e9))
def test_marks_on_an_axis(low, width):
    """A few round numbers in order, all on the axis."""
    high = low + width
    marks = [value for value, _ in nice_marks(low, high)]
    assert len(marks) <= 8
    assert marks == sorted(set(marks))
    slack = 1e-6 * width + 1e-6 * abs(low)
    assert all(low - slack <= value <= high + slack for value in marks)


@given(counts=lists(lists(floats(0, 1e6).map(int), min_size=4, max_size=4), min_size=1, max_size=3))
def test_charts_of_any_counts(counts):
    """Lines stay within the axes, and the highest bin of all reaches the top."""
    drawn = chart("x", 0.0, 1.0, counts, [str(i) for i in range(len(counts))])
    heights = [float(y) for line in drawn.lines for y in re.findall(r"V([0-9.]+)", line.path)]
    assert all(drawn.top - 0.06 <= y <= drawn.bottom for y in heights)
    if any(map(any, counts)):
        assert min(heights) == pytest.approx(drawn.top, abs=0.06)
