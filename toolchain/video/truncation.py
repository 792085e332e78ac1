"""Does a container end where it says it does? Read from its outermost structure alone, before anything decodes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from toolchain.errors import InputError

_ISO_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_TS_SYNC = 0x47


def require_whole(path: Path) -> None:
    """InputError when the container announces more bytes than the file has.

    Covers MP4/MOV boxes (ISO/IEC 14496-12 §4.2), EBML elements of Matroska and WebM (RFC 8794 §6), AVI's RIFF chunk,
    MXF's KLV packets (SMPTE ST 377-1 §6.3) and whole packets of MPEG-TS (ISO/IEC 13818-1 §2.4.3: 188 bytes, 192 on
    disc). Sizes that say "to the end" or "unknown" pass; so do other formats, which show damage when decoded.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        end = _structure(stream.read(256))
        needed = end(stream, size) if end else size
    if needed > size:
        raise InputError(
            f"{path} is truncated: it announces {needed} bytes and holds {size}: copy it again, or keep what is "
            "left of it with `ffmpeg -i IN -c copy OUT`"
        )


def _structure(head: bytes) -> Callable[[BinaryIO, int], int] | None:
    if head[4:8] in _ISO_FIRST_BOXES:
        return _iso_end
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _ebml_end
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return lambda _, size: max(size, 8 + int.from_bytes(head[4:8], "little"))
    if head[:4] == b"\x06\x0e\x2b\x34":
        return _klv_end
    for packet, sync in ((188, 0), (192, 4)):
        if len(head) > sync + packet and head[sync] == head[sync + packet] == _TS_SYNC:
            return lambda _, size: -(-size // packet) * packet
    return None


def _iso_end(stream: BinaryIO, size: int) -> int:
    offset = 0
    while offset + 8 <= size:
        stream.seek(offset)
        header = stream.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8 or not header[4:8].isascii():
            return size  # 0: to the end; else not a box: padding that nobody needs
        offset += length
    return offset


def _ebml_end(stream: BinaryIO, size: int) -> int:
    offset = 0
    while offset < size:
        stream.seek(offset)
        head = stream.read(12)
        id_length = 9 - head[0].bit_length()
        if id_length > 4 or len(head) <= id_length:
            return size
        length_bytes = 9 - head[id_length].bit_length()
        if length_bytes > 8:
            return size
        unknown = (1 << 7 * length_bytes) - 1
        length = int.from_bytes(head[id_length : id_length + length_bytes], "big") & unknown
        if length == unknown:
            return size
        offset += id_length + length_bytes + length
    return offset


def _klv_end(stream: BinaryIO, size: int) -> int:
    offset = 0
    while offset < size:
        stream.seek(offset)
        head = stream.read(25)
        if len(head) < 17:
            return size + 1
        first = head[16]
        length_bytes = first & 0x7F if first & 0x80 else 0
        if length_bytes > 8 or head[:4] != b"\x06\x0e\x2b\x34":
            return size
        length = int.from_bytes(head[17 : 17 + length_bytes], "big") if length_bytes else first
        offset += 17 + length_bytes + length
    return offset
