"""The pictures of a batch for the second pass: each again, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bncli.engines.work import Item, Items, Lazily
from bncli.errors import DataError, ImageError, LimitError
from bncli.images.batch import Fault
from bncli.images.decode import Decoded
from bncli.runs.source import Source


@dataclass(frozen=True, slots=True)
class Kept:
    """A picture that was kept since the first pass."""

    name: str
    decoded: Decoded

    def read(self) -> Decoded:
        """Hand it out."""
        return self.decoded


@dataclass(frozen=True, slots=True)
class Place:
    """A picture of the batch, and its place in it.

    Attributes:
        picture: in its file, or kept.
        position: in the batch.
        digest: of what the first pass decoded; empty where there was none.
        output: the file it is written to; empty where it is part of an array.
        clipped: what is known of that file where an earlier run has left it whole, else None.
    """

    picture: Item
    position: int
    digest: str
    output: str
    clipped: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """What the picture is called."""
        return self.picture.name

    def read(self) -> Decoded:
        """The picture again, as the first pass read it.

        Raises:
            ImageError: it is not the same any more; the message does not name it.
        """
        decoded: Decoded = self.picture.read()
        if self.digest and decoded.digest != self.digest:
            raise ImageError("it was changed while bncli was running; run again")
        return decoded


@dataclass(frozen=True, slots=True)
class Again:
    """What the second pass must know of the pictures of a batch.

    Attributes:
        indexes: their places in the source.
        digests: of what the first pass decoded, one for each.
        kept: the pictures themselves, or none.
        outputs: the files they are written to; none for one array.
        whole: place in the batch -> clipped values of a picture that is written already.
    """

    indexes: Sequence[int]
    digests: Sequence[bytes]
    kept: Sequence[Decoded]
    outputs: Sequence[str]
    whole: Mapping[int, tuple[int, ...]]


def places(source: Source, again: Again, positions: Sequence[int]) -> Items:
    """The pictures at these positions of the batch, with their places, for the second pass."""

    def place(number: int) -> Place:
        position = positions[number]
        index = again.indexes[position]
        picture = source.picture(index)
        if again.kept:
            picture = Kept(picture.name, again.kept[position])
        output = again.outputs[position] if again.outputs else ""
        digest, clipped = again.digests[position].hex(), again.whole.get(position)
        return Place(picture, position, digest, output, clipped)

    return Lazily(place, len(positions))


def reread(item: Item) -> Decoded:
    """The picture of a :class:`Place` again.

    Raises:
        ImageError, LimitError: it cannot be read as the first pass did.
    """
    try:
        decoded: Decoded = item.read()
    except DataError as error:
        raise ImageError(f"{item.name}: {error}", paths=(item.name,)) from error
    except LimitError as error:
        raise LimitError(f"{item.name}: {error}", paths=(item.name,)) from error
    return decoded


def read_or_fault(picture: Item) -> Decoded | Fault:
    """One picture, or why it cannot be used."""
    try:
        decoded: Decoded = picture.read()
    except (DataError, LimitError) as error:
        return Fault(picture.name, str(error), isinstance(error, LimitError))
    return decoded
