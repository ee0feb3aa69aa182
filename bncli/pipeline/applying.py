"""What applies saved statistics to one picture, wherever it is done."""

from __future__ import annotations

from dataclasses import dataclass

from bncli.images.image_set import Fault
from bncli.pipeline.emit import Emitted, Emitter
from bncli.pipeline.places import Place, read_or_fault


@dataclass(frozen=True, slots=True)
class Applying:
    """Reads a picture and writes it, if it can be read.

    Attributes:
        emitter: writes it.
    """

    emitter: Emitter

    def __call__(self, place: Place) -> tuple[str, Emitted] | Fault:
        """Write one picture; gives the digest of what was read, and what was written."""
        picture = read_or_fault(place)
        if isinstance(picture, Fault):
            return picture
        return picture.digest, self.emitter(place, picture)
