"""What restores one picture and writes it, wherever it is done."""

from __future__ import annotations

from dataclasses import dataclass

from bncli.batchnorm.inverse import Inverse, Restored
from bncli.images.batch import Fault
from bncli.images.encode import png_bytes, tiff_bytes
from bncli.images.layout import Shape, to_array
from bncli.runs.emit import Write
from bncli.runs.places import Place, read_or_fault
from bncli.storage.arrays import RowWriter


@dataclass(frozen=True, slots=True)
class Undone:
    """One picture that was restored.

    Attributes:
        digest: of what was read.
        told: by how much it can be off.
        written: SHA-256 of the file, or None where none was written.
    """

    digest: str
    told: Restored
    written: str | None = None


@dataclass(frozen=True, slots=True)
class Restorer:
    """Restores pictures, and writes them where there is something to write to.

    Attributes:
        inverse: from y to pixel values.
        shape: (w, h, c).
        picture_format: ``png``, ``tiff`` or ``npy``.
        write: writes a file, or None.
        rows: takes the rows of an array, or None.
    """

    inverse: Inverse
    shape: Shape
    picture_format: str
    write: Write | None = None
    rows: RowWriter | None = None

    def __call__(self, place: Place) -> Undone | Fault:
        """Restore one picture."""
        picture = read_or_fault(place)
        if isinstance(picture, Fault):
            return picture
        values, told = self.inverse.restore(picture.values)
        if self.rows is not None:
            self.rows.write(place.position, to_array(values, self.shape))
        if self.write is None:
            return Undone(picture.digest, told)
        if self.picture_format == "png":
            content = png_bytes(values, picture.alpha, self.shape, picture.icc)
        else:
            content = tiff_bytes(values, picture.alpha, self.shape)
        return Undone(picture.digest, told, self.write(place.output, content, None))
