"""The pictures of a batch for the second pass: each again, and where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bncli.engines.work import Item, Items, Lazily
from bncli.errors import DataError, ImageError, LimitError
from bncli.images.decode import Decoded
from bncli.images.image_set import Fault
from bncli.pipeline.source import Source


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
        digest: of what the first pass decoded.
        output: the file it is written to; empty where it is part of an array.
    """

    picture: Item
    position: int
    digest: str
    output: str

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
        if decoded.digest != self.digest:
            raise ImageError("it was changed while bncli was running; run again")
        return decoded


def places(
    source: Source, indexes: Sequence[int], digests: Sequence[str], kept: Sequence[Decoded],
    outputs: Sequence[str],
) -> Items:  # fmt: skip
    """The pictures of the batch with their places, for the second pass.

    Args:
        source: where they come from.
        indexes: of the pictures of the batch in the source.
        digests: of what the first pass decoded, one for each.
        kept: the pictures themselves, or none.
        outputs: the files they are written to; none for one array.
    """

    def place(position: int) -> Place:
        index = indexes[position]
        picture: Item = Kept(source.names[index], kept[position]) if kept else source.picture(index)
        output = outputs[position] if outputs else ""
        return Place(picture, position, digests[position], output)

    return Lazily(place, len(indexes))


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
