"""What applies saved statistics to one picture, wherever it is done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bncli.images.batch import Fault
from bncli.runs.emit import Emitted, Emitter
from bncli.runs.places import Place, read_or_fault

if TYPE_CHECKING:
    from bncli.drawing.gallery import Gallery


@dataclass(frozen=True, slots=True)
class Applying:
    """Reads a picture and writes it, if it can be read.

    Attributes:
        emitter: writes it.
        gallery: looks at it, where something is to be drawn.
    """

    emitter: Emitter
    gallery: Gallery | None = None

    def __call__(self, place: Place) -> tuple[str, Emitted] | Fault:
        """Write one picture; gives the digest of what was read, and what was written."""
        picture = read_or_fault(place)
        if isinstance(picture, Fault):
            return picture
        emitted = self.emitter(place, picture)
        if self.gallery is not None:
            glimpse = self.gallery.look(place.position, picture, None)
            emitted = replace(emitted, glimpse=glimpse)
        return picture.digest, emitted
