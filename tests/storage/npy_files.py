"""Array files built byte by byte: NEP 1 and the ZIP format, not numpy, are the authority."""

from __future__ import annotations

import struct
import zlib

MAGIC = b"\x93NUMPY"


def npy(header, body=b"", *, version=(1, 0), claimed=None):
    """A .npy file of any header text; *claimed* is the header length that it declares."""
    text = header.encode("latin1") + b"\n"
    length = len(text) if claimed is None else claimed
    return (
        MAGIC
        + bytes(version)
        + struct.pack("<H" if version[0] == 1 else "<I", length)
        + text
        + body
    )


def described(shape, descr="<f8", order="False"):
    return f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}"


def zipped(members, *, method=0, flags=0, declared=None):
    """A ZIP archive of (name, content) pairs; *declared* overrides the sizes in its directory."""
    body, directory = b"", b""
    for name, content in members:
        packed = content
        if method == 8:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = packer.compress(content) + packer.flush()
        size = len(content) if declared is None else declared
        facts = struct.pack(
            "<HHHHIIIHH", flags, method, 0, 33, zlib.crc32(content), len(packed), size, len(name), 0
        )
        directory += b"PK\1\2" + struct.pack("<HH", 20, 20) + facts
        directory += struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name.encode()
        body += b"PK\3\4" + struct.pack("<H", 20) + facts + name.encode() + packed
    end = struct.pack(
        "<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(body), 0
    )  # fmt: skip
    return body + directory + b"PK\5\6" + end
