"""Spoils files: anywhere, and where their formats keep lengths, sizes and types."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random

from seeds import forged_png, seeds

_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 16, 127, 128, 255, 256, 1000, 9459, 32767, 32768, 65535, 65536,
            (1 << 24) - 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 2, (1 << 32) - 1)  # fmt: skip
_TEXTS = (b"0", b"-1", b"1e9", b"65536", b"99999", b"4294967295", b"18446744073709551616", b"nan",
          b"9" * 60, b"True", b"()", b"0.5", b"'")  # fmt: skip
_NPY_HEADER = 10
_UNREADABLE = (ValueError, IndexError, NotImplementedError, RuntimeError, EOFError, OverflowError,
               struct.error, zlib.error, zipfile.BadZipFile)  # fmt: skip


def mutant(kind: str, seed: int) -> bytes:
    """The *seed*-th spoilt file of a kind; the same in every run."""
    random = Random(f"{kind} {seed}")
    content = random.choice(seeds_of(kind))
    aware = _AWARE.get(kind)
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        if aware is not None and random.random() < 0.5:
            try:
                content = aware(content, random)
                continue
            except _UNREADABLE:
                pass  # what was spoilt before can no longer be taken apart
        content = random.choice(_ANYWHERE)(content, random, kind)
    return content


_SEEDS: dict[str, list[bytes]] = {}


def seeds_of(kind: str) -> list[bytes]:
    """Made once."""
    if kind not in _SEEDS:
        _SEEDS[kind] = seeds(kind)
    return _SEEDS[kind]


def _flip(content: bytes, random: Random, _: str) -> bytes:
    out = bytearray(content or b"\0")
    for _ in range(random.choice((1, 1, 2, 8, 40))):
        out[random.randrange(len(out))] ^= 1 << random.randrange(8)
    return bytes(out)


def _number(content: bytes, random: Random, _: str) -> bytes:
    """Write a number that programs stumble over; mostly near the start, where headers are."""
    width, order = random.choice((1, 2, 4, 8)), random.choice("<>")
    packed = struct.pack(f"{order}Q", random.choice(_NUMBERS))
    packed = packed[:width] if order == "<" else packed[-width:]
    end = min(len(content), 128) if random.random() < 0.6 else len(content)
    place = random.randrange(end + 1)
    return content[:place] + packed + content[place + width :]


def _cut(content: bytes, random: Random, _: str) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _span(content: bytes, random: Random) -> tuple[int, int]:
    start = random.randrange(len(content) + 1)
    return start, min(len(content), start + random.choice((1, 2, 4, 16, 100, 1000)))


def _delete(content: bytes, random: Random, _: str) -> bytes:
    start, stop = _span(content, random)
    return content[:start] + content[stop:]


def _repeat(content: bytes, random: Random, _: str) -> bytes:
    start, stop = _span(content, random)
    return content[:stop] + content[start:stop] * random.choice((1, 2, 50)) + content[stop:]


def _splice(content: bytes, random: Random, kind: str) -> bytes:
    """Part of another file of the kind, here or in the same place."""
    other = random.choice(seeds_of(kind))
    start, stop = _span(other, random)
    place = start if random.random() < 0.5 else random.randrange(len(content) + 1)
    return content[:place] + other[start:stop] + content[place + stop - start :]


def _garbage(content: bytes, random: Random, _: str) -> bytes:
    start, stop = _span(content, random)
    fill = random.choice((bytes(1), b"\xff", b"\x1b", random.randbytes(1)))
    return content[:start] + fill * (stop - start) + content[stop:]


_ANYWHERE: tuple[Callable[[bytes, Random, str], bytes], ...] = (
    _flip, _flip, _number, _number, _cut, _delete, _repeat, _splice, _garbage,
)  # fmt: skip


def _spoil(body: bytes, random: Random) -> bytes:
    return random.choice((_flip, _number, _cut, _delete, _repeat))(body, random, "")


def _png(content: bytes, random: Random) -> bytes:
    """Chunks changed, dropped, doubled or moved, and their checksums made right again."""
    chunks, position = [], 8
    while position + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, position)
        kind, body = content[position + 4 : position + 8], content[position + 8 :][:length]
        chunks.append((kind, body))
        position += 12 + length
    index = random.randrange(len(chunks))
    kind, body = chunks[index]
    choice = random.randrange(8)
    if choice == 0:
        del chunks[index]
    elif choice == 1:
        chunks.insert(random.randrange(len(chunks) + 1), (kind, body))
    elif choice == 2:
        random.shuffle(chunks)
    elif choice == 3:
        names = (b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"iCCP", b"zTXt", b"eXIf")
        chunks[index] = (random.choice(names), body)
    elif choice == 4 and chunks[0][0] == b"IHDR":
        fields = list(struct.unpack(">IIBBBBB", chunks[0][1]))
        which = random.randrange(7)
        fields[which] = random.choice(_NUMBERS) if which < 2 else random.choice((0, 1, 2, 4, 8, 16))
        chunks[0] = (b"IHDR", struct.pack(">IIBBBBB", *fields))
    elif choice == 5 and kind == b"IDAT":
        chunks[index] = (kind, zlib.compress(_spoil(zlib.decompress(body), random)))
    else:
        chunks[index] = (kind, _spoil(body, random))
    return forged_png(chunks)


def _jpeg(content: bytes, random: Random) -> bytes:
    """A segment's length, its bytes, its marker, or the size of the picture."""
    places, position = [], 2
    while content[position] == 0xFF and content[position + 1] not in {0xDA, 0xD9}:
        places.append(position)
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    place = random.choice(places)
    out, length = bytearray(content), int.from_bytes(content[place + 2 : place + 4], "big")
    frames = [p for p in places if 0xC0 <= content[p + 1] <= 0xC2]
    choice = random.randrange(5)
    if choice == 0:
        out[place + 2 : place + 4] = struct.pack(">H", random.choice(_NUMBERS) & 0xFFFF)
    elif choice == 1:
        out[place + 1] = random.randrange(0xC0, 0x100)
    elif choice == 2 and frames:
        at = frames[0] + random.choice((5, 7))
        out[at : at + 2] = struct.pack(">H", random.choice((0, 1, 9459, 32767, 65500, 65535)))
    elif choice == 3:
        out[place : place + 2 + length] = out[place : place + 2 + length] * random.choice((0, 2, 9))
    else:
        out[place + 4 + random.randrange(max(1, length - 2))] = random.randrange(256)
    return bytes(out)


def _tiff(content: bytes, random: Random) -> bytes:
    """The tag, type, count or value of an entry, or where the next page is."""
    order = "<" if content[:2] == b"II" else ">"
    if struct.unpack_from(order + "H", content, 2)[0] != 42:
        raise ValueError("another kind of TIFF")
    (start,) = struct.unpack_from(order + "I", content, 4)
    (entries,) = struct.unpack_from(order + "H", content, start)
    entry = start + 2 + 12 * random.randrange(entries)
    out = bytearray(content)
    choice = random.randrange(6)
    if choice == 0:
        tags = (254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 320, 322, 330, 338,
                339, 347, 530, 700, 34675)  # fmt: skip
        struct.pack_into(order + "H", out, entry, random.choice(tags))
    elif choice == 1:
        struct.pack_into(order + "H", out, entry + 2, random.randrange(20))
    elif choice == 2:
        struct.pack_into(order + "I", out, entry + 4, random.choice(_NUMBERS))
    elif choice == 3:
        end = start + 2 + 12 * entries
        struct.pack_into(order + "I", out, end, random.choice((start, 8, len(out), *_NUMBERS)))
    else:
        struct.pack_into(order + "I", out, entry + 8, random.choice(_NUMBERS))
    return bytes(out)


def _fields(*layouts: tuple[int, int]) -> Callable[[bytes, Random], bytes]:
    """A number in one of the (place, bytes) fields of a header, little-endian."""

    def change(content: bytes, random: Random) -> bytes:
        place, width = random.choice(layouts)
        packed = struct.pack("<Q", random.choice(_NUMBERS))[:width]
        return content[:place] + packed + content[place + width :]

    return change


def _gif(content: bytes, random: Random) -> bytes:
    """The screen, or the descriptor of a frame."""
    frames = [match.start() for match in re.finditer(b",", content)]
    starts = [(6, 2), (8, 2), (10, 1)] + [(at + k, 2) for at in frames for k in (1, 3, 5, 7)]
    return _fields(*starts)(content, random)


def _webp(content: bytes, random: Random) -> bytes:
    """Length or kind of a chunk, or a byte in it; the whole's length is made right again."""
    chunks, position = [], 12
    while position + 8 <= len(content):
        length = int.from_bytes(content[position + 4 : position + 8], "little")
        chunks.append([content[position : position + 4], length, content[position + 8 :][:length]])
        position += 8 + length + length % 2
    picked = random.choice(chunks)
    choice = random.randrange(5)
    if choice == 0:
        picked[1] = random.choice(_NUMBERS)
    elif choice == 1:
        picked[0] = random.choice((b"VP8 ", b"VP8L", b"VP8X", b"ANMF", b"ANIM", b"ALPH", b"EXIF"))
    elif choice == 2:
        chunks.insert(random.randrange(len(chunks) + 1), list(picked))
    elif choice == 3:
        random.shuffle(chunks)
    else:
        picked[2] = _spoil(picked[2], random)
        picked[1] = len(picked[2])
    body = b"".join(
        name + struct.pack("<I", length) + part + bytes(len(part) % 2)
        for name, length, part in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _digits(content: bytes, random: Random) -> bytes:
    """A number written as text in the first bytes."""
    found = list(re.finditer(rb"-?[0-9]+(\.[0-9]+)?", content[:200]))
    spot = random.choice(found)
    return content[: spot.start()] + random.choice(_TEXTS) + content[spot.end() :]


def _npy(content: bytes, random: Random) -> bytes:
    """Text of the header, whose length is made right again."""
    end = content.index(b"\n", _NPY_HEADER) + 1
    header = content[_NPY_HEADER:end]
    descr = (b"'|O'", b"'|V0'", b"'<f16'", b"'<c16'", b"'|b1'", b"'<U9'", b"'M8[s]'", b"'<f8'",
             b"'|i1'", b"'>u8'", b"[('a','<f8')]", b"('<f8',(9,))", b"'<q'", b"{}")  # fmt: skip
    choice = random.randrange(3)
    if choice == 0:
        header = _digits(header, random)
    elif choice == 1:
        header = re.sub(rb"'[<>|][a-zA-Z][0-9]+'", lambda _: random.choice(descr), header)
    else:
        header = _spoil(header[:-1], random) + b"\n"
    return content[:8] + struct.pack("<H", len(header) & 0xFFFF) + header + content[end:]


def _npz(content: bytes, random: Random) -> bytes:
    """A member spoilt, renamed, dropped or doubled in an archive that is sound."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    index = random.randrange(len(members))
    name, body = members[index]
    choice = random.randrange(6)
    if choice == 0:
        del members[index]
    elif choice == 1:
        members.append(
            (random.choice(("../x.npy", "x.npy", "rate_factor.npy", "\x1b[2J.npy")), body)
        )
    elif choice == 2:
        members[index] = (name, _spoil(body, random))
    else:
        members[index] = (name, _npy(body, random))
    buffer = io.BytesIO()
    packing = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, body in members:
            archive.writestr(zipfile.ZipInfo(name), body, packing)
    return buffer.getvalue()


_AWARE: dict[str, Callable[[bytes, Random], bytes]] = {
    "PNG": _png, "JPEG": _jpeg, "TIFF": _tiff, "GIF": _gif, "WEBP": _webp, "PNM": _digits,
    "BMP": _fields((10, 4), (14, 4), (18, 4), (22, 4), (28, 2), (30, 4), (34, 4), (46, 4)),
    "NPY": _npy, "NPZ": _npz, "STATS": _npz,
}  # fmt: skip
