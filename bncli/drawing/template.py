"""From facts to one page by itself: nothing is fetched, and nothing runs but our own script."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bncli.errors import MissingExtraError
from bncli.text import escaped

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def require_templates(option: str) -> None:
    """Raise MissingExtraError unless what makes the pages is installed."""
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtraError(f"{option} needs jinja2: pip install 'bncli[report]'")


def render(name: str, facts: Mapping[str, Any]) -> bytes:
    """A page, in UTF-8; the same facts give the same bytes.

    Args:
        name: of the template.
        facts: what it shows. All text is escaped, and characters that steer are made visible.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    require_templates("--report")
    from markupsafe import Markup

    style, script = _text("page.css"), _text("page.js")
    page = (
        _environment()
        .get_template(name)
        .render(
            **facts,
            style=Markup(style),  # noqa: S704 - our own
            script=Markup(script),  # noqa: S704 - our own
            policy=_policy(style, script),
        )
    )
    return page.encode("utf-8")


def data_address(png: bytes) -> str:
    """The bytes of a PNG as an address that holds them."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def visible(text: object) -> Markup:
    """Any text, set apart from its neighbours, and an escape for what is not printable."""
    from markupsafe import Markup, escape

    parts = [
        escape(c) if c.isprintable() else Markup("<span class=esc>{}</span>").format(escaped(c))
        for c in str(text)
    ]
    return Markup("<bdi>{}</bdi>").format(Markup("").join(parts))


def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["visible"] = visible
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["short"] = _short
    return environment


def _text(name: str) -> str:
    from importlib import resources

    return resources.files("bncli.drawing").joinpath("pages", name).read_text("utf-8")


def _short(number: float | None, digits: int = 6) -> str:
    return "not finite" if number is None else f"{number:.{digits}g}"


def _policy(style: str, script: str) -> str:
    """The Content-Security-Policy: our style and script by their hashes, pictures in the page."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")
