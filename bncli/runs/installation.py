"""What this installation consists of, and what it may use of the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from typing import Any

from bncli.machine import allowed_cores, allowed_memory, core_limits
from bncli.version import __version__

_FOR_DEVELOPERS = {"test", "bench", "lint"}
_REQUIREMENT = re.compile(
    r"([\w.-]+)(?:\[[^]]*\])?\s*(?:>=\s*([\w.]+))?.*?(?:extra == ['\"](\w+)['\"])?$"
)


@dataclass(frozen=True, slots=True)
class Package:
    """A package that bncli, or one of its extras, is made with.

    Attributes:
        name: as pip knows it.
        least: the oldest version that does, or an empty string.
        found: the version that is here, or None.
    """

    name: str
    least: str
    found: str | None

    @property
    def usable(self) -> bool:
        """Whether it is here and new enough."""
        return self.found is not None and _parts(self.found) >= _parts(self.least)


@dataclass(slots=True)
class Installation:
    """The facts, and what is wrong with them.

    Attributes:
        bncli, python, system: versions.
        packages: what bncli needs.
        extras: extra -> what it needs.
        formats: format -> whether it can be read.
        libraries: the libraries behind Pillow, and their versions.
        png_encoder: ``isal`` or ``zlib``.
        cores, core_limits: how many may be used, and what sets the limits.
        memory: bytes that may be used; a run takes half of them unasked.
        temporary: the folder for temporary files, or None where none can be written.
        problems: what is broken, each with its remedy.
    """

    bncli: str
    python: str
    system: str
    packages: tuple[Package, ...]
    extras: dict[str, tuple[Package, ...]]
    cores: int
    core_limits: dict[str, int]
    memory: int
    formats: dict[str, bool] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    png_encoder: str | None = None
    temporary: str | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, or 2 where something that bncli needs is missing or broken."""
        return 2 if self.problems else 0

    def document(self) -> dict[str, Any]:
        """The JSON document."""
        facts = asdict(self)
        facts["packages"] = {p.name: _package_facts(p) for p in self.packages}
        facts["extras"] = {
            extra: {
                "usable": all(package.usable for package in packages),
                "packages": {p.name: _package_facts(p) for p in packages},
            }
            for extra, packages in self.extras.items()
        }
        status = "ok" if self.exit_code == 0 else "broken"
        return {
            "schema": "bncli.doctor/1",
            "status": status,
            "exit_code": self.exit_code,
            **facts,
        }


def examine_installation() -> Installation:
    """Look at packages, formats, cores, memory and the temporary folder; no network."""
    packages, extras = _requirements()
    found = Installation(
        bncli=__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        packages=packages,
        extras=extras,
        cores=allowed_cores(),
        core_limits=core_limits(),
        memory=allowed_memory(),
        temporary=_temporary(),
    )
    found.problems += [_package_problem(p) for p in packages if not p.usable]
    _examine_codecs(found)
    if found.temporary is None:
        found.problems.append("no temporary folder can be written: set TMPDIR to one")
    return found


def _examine_codecs(found: Installation) -> None:
    try:
        from bncli.images import codecs, png
    except Exception as error:  # noqa: BLE001 - a broken build may raise anything at import
        reason = f"{type(error).__name__}: {error}"
        found.problems.append(
            f"numpy or Pillow cannot be loaded ({reason}): {_pip('--force-reinstall bncli')}"
        )
        return
    found.formats = codecs.readable_formats()
    found.libraries = codecs.library_versions()
    found.png_encoder = png.encoder_name()
    unread = [name for name, can in found.formats.items() if not can]
    if unread:
        found.problems.append(
            f"Pillow cannot read {', '.join(unread)} here: {_pip('--force-reinstall pillow')}"
        )


def _requirements() -> tuple[tuple[Package, ...], dict[str, tuple[Package, ...]]]:
    """What the installed package says of itself, so that nothing here has to be kept in step."""
    try:
        lines = importlib.metadata.requires("bncli") or []
    except importlib.metadata.PackageNotFoundError:  # run from a folder, not installed
        lines = []
    needed: list[Package] = []
    extras: dict[str, list[Package]] = {}
    for line in lines:
        match = _REQUIREMENT.match(line)
        if match is None or match[1] == "bncli" or match[3] in _FOR_DEVELOPERS:
            continue
        package = Package(match[1], match[2] or "", _version(match[1]))
        (needed if match[3] is None else extras.setdefault(match[3], [])).append(package)
    return tuple(needed), {extra: tuple(packages) for extra, packages in sorted(extras.items())}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _parts(version: str) -> tuple[int, ...]:
    """The numbers at the head of a version: 2.1.0rc1 counts as 2.1.0."""
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in numbers[0].split(".")) if numbers else ()


def _package_facts(package: Package) -> dict[str, Any]:
    return {**asdict(package), "usable": package.usable}


def _package_problem(package: Package) -> str:
    fact = "is missing" if package.found is None else f"{package.found} is too old"
    return f"{package.name} {fact}: {_pip(f'{package.name}>={package.least}')}"


def _pip(what: str) -> str:
    name = os.path.basename(sys.executable) or "python"  # noqa: PTH119 - a name alone
    words = what if what.startswith("-") else f"'{what}'"
    return f"{name} -m pip install {words}"


def _temporary() -> str | None:
    try:
        with tempfile.TemporaryFile():
            return tempfile.gettempdir()
    except OSError:
        return None
