"""The pages in a real browser: they render, their controls work, and nothing leaves or runs."""

from __future__ import annotations

import http.server
import importlib.util
import io
import threading

import numpy as np
import pytest
from browser import CHROMIUM, DRIVER, END, RIGHT, SPACE, browsing
from oracle import bncli
from PIL import Image

needs = {"chromium": CHROMIUM, "chromedriver": DRIVER, "jinja2": importlib.util.find_spec("jinja2")}
pytestmark = pytest.mark.skipif(
    not all(needs.values()),
    reason=f"not installed: {', '.join(name for name, there in needs.items() if not there)}",
)

NAMES = ["<img src=x onerror=document.title=1>.png", '"><script>document.title=2<.png',
         "rtl\u202egpj.png", "new\nline.png", "'-alert(1)-'.png"]  # fmt: skip
FAITHFUL = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of pictures with hostile names; one is black, so that it is known on the screen."""
    path = tmp_path_factory.mktemp("browser") / "in"
    path.mkdir()
    rng = np.random.default_rng(0)
    for index, name in enumerate(NAMES):
        pixels = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8) * (index != 0)
        Image.fromarray(pixels.astype(np.uint8)).save(path / name)
    return path


@pytest.fixture(scope="module")
def page(folder):
    """The page of a run with gradients."""
    path = folder.parent / "run.html"
    run = bncli("normalize", folder, "-o", folder.parent / "out", "--delta", "random",
                "--report", path, "-q")  # fmt: skip
    assert (run.code, run.err) == (0, "")
    return path


@pytest.fixture(scope="module")
def check_page(folder):
    """The page of a check that fails."""
    path = folder.parent / "check.html"
    run = bncli("gradcheck", "tests/checking/targets/published.py:BatchNormalization",
                "--report", path, "-q")  # fmt: skip
    assert (run.code, run.err) == (1, "")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(params=["run", "check"])
def either(request, page, check_page):
    return page if request.param == "run" else check_page


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_renders(browser, either, width, scheme):
    """No error in the console, every picture drawn, nothing wider than the screen."""
    browser.resize(width)
    browser.prefer(scheme)
    browser.open(either)

    assert browser.log() == []
    drawn = "return [...document.images].every(i => i.complete && i.naturalWidth > 0)"
    assert browser.run(drawn)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.run("return document.querySelector('#verdict').offsetHeight") > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_told_from_its_ground(browser, either, scheme):
    """The contrast of all text is at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    browser.resize(1280)
    browser.prefer(scheme)
    browser.open(either)
    pairs = browser.run("""
        const seen = {};
        const ground = e => {
          for (; e; e = e.parentElement) {
            const colour = getComputedStyle(e).backgroundColor;
            if (!/, 0\\)$/.test(colour)) return colour;
          }
        };
        for (const e of document.querySelectorAll("body *")) {
          if (e.closest("svg") || !e.offsetHeight) continue;
          if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
          seen[getComputedStyle(e).color + "|" + ground(e)] = e.outerHTML.slice(0, 80);
        }
        return Object.entries(seen);
    """)

    assert len(pairs) >= 5
    for colours, where in pairs:
        ink, paper = (luminance(colour) for colour in colours.split("|"))
        ratio = (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05)
        assert ratio >= 4.5, (colours, ratio, where)


def luminance(colour):
    """Relative luminance of ``rgb(r, g, b)``, as WCAG defines it."""
    parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def ground(browser):
    return browser.run("return getComputedStyle(document.body).backgroundColor")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(browser, either, scheme):
    """The page follows the preference, and the button turns it round and back, by keyboard too."""
    browser.prefer(scheme)
    browser.open(either)
    first = ground(browser)
    assert (luminance(first) > 0.5) == (scheme == "light")

    other = {"light": "Dark page", "dark": "Light page"}[scheme]
    assert browser.run("return document.querySelector('#theme').textContent") == other
    browser.click("#theme")
    assert (luminance(ground(browser)) > 0.5) == (scheme == "dark")
    browser.press("#theme", SPACE)
    assert ground(browser) == first


def screen(browser, selector):
    """The pixels of an element on the screen."""
    shot = Image.open(io.BytesIO(browser.screenshot())).convert("RGB")
    box = browser.run(
        "const r = document.querySelector(arguments[0]).getBoundingClientRect();"
        "return [r.left + scrollX, r.top + scrollY, r.right + scrollX, r.bottom + scrollY]",
        selector,
    )
    return np.asarray(shot.crop([round(side) for side in box])).astype(int)


def test_the_slider(browser, page):
    """At one end the picture is as it was, at the other normalized; keys move it, and say so."""
    browser.resize(1280)
    browser.prefer("light")
    browser.open(page)
    slider = ".slide input"
    # The first picture is that of the first name in natural order: find the black one.
    index = browser.run(
        "return [...document.querySelectorAll('section h3')]"
        ".findIndex(h => h.textContent.includes('<img'))"
    )
    assert index >= 0
    slider, pair = f"[data-pair=pair{index + 1}]", f"#pair{index + 1}"

    browser.press(slider, END)
    assert browser.run("return document.querySelector(arguments[0]).value", slider) == "100"
    before = screen(browser, pair)[:, :-FAITHFUL]
    assert before.max() <= 8, "the black picture is not black"

    browser.run(
        "const s = document.querySelector(arguments[0]); s.value = 0;"
        "s.dispatchEvent(new Event('input'))",
        slider,
    )
    after = screen(browser, pair)[:, FAITHFUL:]
    assert after.max() > 8
    browser.press(slider, RIGHT * 3)
    assert browser.run("return document.querySelector(arguments[0]).value", slider) == "3"
    spoken = browser.run(
        "return document.querySelector(arguments[0]).getAttribute('aria-valuetext')", slider
    )
    assert spoken == "3 percent of the original"


def test_hostile_names_do_nothing(browser, page):
    """No name became an element or ran; every name can be read, steering characters as escapes."""
    browser.open(page)

    assert browser.run("return document.title") == "bncli: 5 pictures"
    assert browser.run("return document.scripts.length") == 1
    assert browser.run("return document.querySelectorAll('img[onerror], [src=x]').length") == 0
    text = browser.run("return document.querySelector('main').innerText")
    for name in [*NAMES[:2], r"rtl\u202egpj.png", r"new\nline.png", NAMES[4]]:
        assert name in text


def test_nothing_leaves_and_nothing_else_runs(browser, page, tmp_path):
    """The policy stops pictures, requests and scripts that are not the page's own."""
    asked = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    # On threads that nobody waits for: a browser may open a connection and never ask anything.
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        planted = (
            f'<img src="{address}/img"><script src="{address}/script"></script>'
            f'<link rel=stylesheet href="{address}/style"><iframe src="{address}/frame"></iframe>'
            "<script>document.title = 'taken'</script>"
            "<img src=x onerror=\"document.title='taken'\">"
        )
        spoiled = tmp_path / "spoiled.html"
        spoiled.write_bytes(page.read_bytes().replace(b"</main>", planted.encode() + b"</main>"))
        try:
            browser.open(spoiled)
            browser.run(f"return fetch('{address}/fetch').catch(() => 0)")
            title = browser.run("return document.title")
            said = browser.log()
        finally:
            server.shutdown()
            thread.join()

    assert asked == []
    assert title == "bncli: 5 pictures"
    assert len([line for line in said if "Content Security Policy" in line]) >= 6


def test_on_paper(browser, page):
    """Printed, both pictures of a pair are there, controls are not, and the ground is white."""
    browser.resize(800)
    browser.prefer("dark", media="print")
    browser.open(page)

    assert ground(browser) == "rgb(255, 255, 255)"
    shown = browser.run("""
        const tall = s => document.querySelector(s).getBoundingClientRect();
        return [tall("#theme").height, tall(".slide").height,
                tall("#pair1 .after").top >= tall("#pair1 .before").bottom];
    """)
    assert shown == [0, 0, True]
    browser.prefer("light")


def test_rings_lie_on_their_elements(browser, check_page):
    """The ring of the worst element is where its column and row are on the map."""
    browser.open(check_page)
    place, ring = browser.run("""
        const row = document.querySelector("#worst tbody tr").cells;
        const svg = [...document.querySelectorAll(".map svg")].find(
          s => [...s.querySelectorAll("text")].some(t => t.textContent === "1"));
        const index = [...svg.querySelectorAll("text")].findIndex(t => t.textContent === "1");
        const at = svg.querySelectorAll(".ring")[index], map = svg.querySelector("image");
        const a = at.getBoundingClientRect(), b = map.getBoundingClientRect();
        return [row[2].textContent + svg.getAttribute("aria-label"),
                [((a.left + a.right) / 2 - b.left) / b.width,
                 ((a.top + a.bottom) / 2 - b.top) / b.height]];
    """)
    inside, _, label = place[1:].partition(")")
    picture, x, y, _ = map(int, inside.split(","))
    width, height = 3, 4  # of the probe
    assert f"picture {picture}," in label
    assert ring == pytest.approx([(x + 0.5) / width, (y + 0.5) / height], abs=0.01)
