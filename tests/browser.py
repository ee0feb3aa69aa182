"""A real browser without a window, driven by the WebDriver protocol: JSON over HTTP."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ENTER, SPACE, RIGHT, END = "\ue007", " ", "\ue014", "\ue010"

# A proxy that is not there: whatever a page asks of the network fails at once, on any machine.
_ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--proxy-server=127.0.0.1:9",
]  # fmt: skip


class Browser:
    """One page at a time."""

    def __init__(self, address: str, session: str) -> None:
        self._base = f"{address}/session/{session}"

    def _ask(self, method, path, body=None):
        return ask(method, f"{self._base}/{path}", body)

    def open(self, page: Path) -> None:
        self._ask("POST", "url", {"url": page.as_uri()})

    def run(self, script: str, *arguments):
        """What a script returns."""
        return self._ask("POST", "execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector: str) -> str:
        found = self._ask("POST", "element", {"using": "css selector", "value": selector})
        return found[ELEMENT]

    def click(self, selector: str) -> None:
        self._ask("POST", f"element/{self.find(selector)}/click", {})

    def press(self, selector: str, keys: str) -> None:
        self._ask("POST", f"element/{self.find(selector)}/value", {"text": keys})

    def command(self, name: str, **parameters):
        """A command of the DevTools protocol."""
        return self._ask("POST", "goog/cdp/execute", {"cmd": name, "params": parameters})

    def log(self) -> list[str]:
        """What the console has said since it was last asked."""
        return [entry["message"] for entry in self._ask("POST", "se/log", {"type": "browser"})]

    def resize(self, width: int, height: int = 900, **more) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            | more,
        )

    def prefer(self, scheme: str, media: str = "") -> None:
        """Ask for a light or dark page, on screen or on paper."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", media=media, features=features)

    def screenshot(self) -> bytes:
        """The whole page as a PNG."""
        shot = self.command("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        return base64.b64decode(shot["data"])


def ask(method, address, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, method=method)  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - ours
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error


@contextmanager
def browsing(folder: Path):
    """A browser whose profile lies in *folder*; it is ended by its own handle."""
    driver = subprocess.Popen(
        [DRIVER, "--port=0", f"--log-path={folder / 'driver.log'}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{_port(driver)}"
        options = {
            "binary": CHROMIUM,
            "args": [*_ARGUMENTS, f"--user-data-dir={folder / 'profile'}"],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = ask(
            "POST", f"{address}/session", {"capabilities": {"alwaysMatch": wanted}}
        )["sessionId"]  # fmt: skip
        try:
            yield Browser(address, session)
        finally:
            ask("DELETE", f"{address}/session/{session}")
    finally:
        driver.terminate()
        driver.wait(30)
        driver.stdout.close()


def _port(driver) -> int:
    began = time.monotonic()
    while time.monotonic() - began < 60:
        line = driver.stdout.readline()
        if "started successfully on port" in line:
            return int(line.rstrip(".\n ").rpartition(" ")[2])
        assert line, "chromedriver ended"
    raise AssertionError("chromedriver says nothing")
