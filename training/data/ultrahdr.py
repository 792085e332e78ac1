"""Gain-map photographs (Ultra HDR JPEG): an SDR base, and beside it the HDR picture that its gain map makes of it.

Android "Ultra HDR Image Format v1.0": a primary JPEG, an MPF index (CIPA DC-007) of a second JPEG behind it, and in
the second one's XMP how to apply it. The maths is that of ISO 21496-1 with the map at full weight.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.color.arrays import FloatArray
from toolchain.color.primaries import conversion_matrix
from toolchain.color.transfer import REFERENCE_WHITE_NITS, srgb_eotf
from toolchain.errors import InputError

Image = FloatArray
MAX_FILE_BYTES = 200_000_000
MAX_PIXELS = 100_000_000
MAX_STOPS = 16.0
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MPF = b"MPF\0"
_ICC = b"ICC_PROFILE\0"
_REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}


@dataclass(frozen=True)
class GainMapMetadata:
    """How a gain map is applied; three values are R, G, B. Stops are log2 of HDR over SDR."""

    min_stops: NDArray[np.float64]
    max_stops: NDArray[np.float64]
    gamma: NDArray[np.float64]
    offset_sdr: NDArray[np.float64]
    offset_hdr: NDArray[np.float64]
    capacity_max_stops: float
    """Headroom over SDR white at which the map applies in full."""


@dataclass(frozen=True)
class UltraHdrFile:
    """The parts of a file, undecoded."""

    primary: bytes
    gain_map: bytes
    metadata: GainMapMetadata
    primaries: str
    """Of the base picture: p3_d65 where the ICC profile calls itself Display P3, else bt709 is assumed."""


def read_ultrahdr(path: Path, reduction: int = 1) -> tuple[Image, Image]:
    """(SDR, HDR): both (H, W, 3) float32; linear BT.709 with 1.0 = SDR white, and BT.2020 nits with that at 203.

    SDR colours outside BT.709 are clipped there, as an SDR video would; the HDR picture keeps them. `reduction` 2 or
    4 decodes at that fraction of the size. Rotation tags are ignored. Raises InputError for a file that is no
    complete gain-map photograph.
    """
    parts = parse_ultrahdr(_read_bytes(path), str(path))
    base = srgb_eotf(_decode(parts.primary, reduction, f"the base picture of {path}"))
    encoded = _decode(parts.gain_map, 1, f"the gain map of {path}")
    encoded = np.asarray(cv2.resize(encoded, base.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    hdr = apply_gain_map(base, encoded, parts.metadata)
    sdr = base @ conversion_matrix(parts.primaries, "bt709").T.astype(np.float32)
    to_2020 = conversion_matrix(parts.primaries, "bt2020").T.astype(np.float32)
    nits = np.maximum(hdr @ to_2020, 0.0) * np.float32(REFERENCE_WHITE_NITS)
    return np.clip(sdr, 0.0, 1.0), nits


def apply_gain_map(base_light: Image, encoded: Image, metadata: GainMapMetadata) -> Image:
    """(H, W, 3) linear base, and map in [0, 1] of the same size -> linear HDR, same primaries, 1.0 = SDR white.

    (base + offset_sdr) 2^(min + (max - min) map^(1/gamma)) - offset_hdr. ISO 21496-1:2025, section 6, weight 1.
    """
    stops = metadata.min_stops + (metadata.max_stops - metadata.min_stops) * encoded ** (1.0 / metadata.gamma)
    hdr = (base_light + metadata.offset_sdr) * np.exp2(stops) - metadata.offset_hdr
    return np.maximum(hdr, 0.0).astype(np.float32)


def parse_ultrahdr(data: bytes, name: str) -> UltraHdrFile:
    """The parts of the file `data`; `name` is how errors call it. Raises InputError."""
    segments = list(_segments(data, name))
    mpf = next(((start, body) for start, body in segments if body.startswith(_MPF)), None)
    if mpf is None:
        raise InputError(f"{name} has no MPF index, so no gain map: give an Ultra HDR JPEG.")
    offset, size = _second_image(mpf[1][len(_MPF) :], name)
    start = mpf[0] + len(_MPF) + offset
    gain_map = data[start : start + size]
    if size < 4 or len(gain_map) < size or not gain_map.startswith(b"\xff\xd8"):
        raise InputError(
            f"{name} says its gain map is {size} bytes at {start} of {len(data)}: there is no JPEG there."
        )
    xmp = b"".join(body for _, body in _segments(gain_map, f"the gain map of {name}") if body.startswith(_XMP))
    primaries = "p3_d65" if any(_is_display_p3(body) for _, body in segments) else "bt709"
    return UltraHdrFile(data[:start], gain_map, parse_metadata(xmp, name), primaries)


def parse_metadata(xmp: bytes, name: str) -> GainMapMetadata:
    """The hdrgm fields of an XMP packet, attributes or rdf:Seq elements; defaults as Ultra HDR v1.0 gives them."""
    text = xmp.decode("utf-8", errors="replace")
    if _field(text, "Version") is None:
        raise InputError(
            f"{name} has a second picture without hdrgm metadata (a map in ISO 21496-1 binary is not read)."
        )
    if (_field(text, "BaseRenditionIsHDR") or "False").strip().lower() == "true":
        raise InputError(f"{name} has an HDR base picture: give one whose base is SDR.")
    values = {key: _three(text, key, default, name) for key, default in _DEFAULTS.items()}
    metadata = GainMapMetadata(
        values["GainMapMin"],
        values["GainMapMax"],
        values["Gamma"],
        values["OffsetSDR"],
        values["OffsetHDR"],
        float(values["HDRCapacityMax"][0]),
    )
    if not _usable(metadata):
        raise InputError(f"{name} has gain-map metadata that means nothing: {metadata}.")
    return metadata


_DEFAULTS: dict[str, float | None] = {
    "GainMapMin": 0.0,
    "GainMapMax": None,
    "Gamma": 1.0,
    "OffsetSDR": 1 / 64,
    "OffsetHDR": 1 / 64,
    "HDRCapacityMax": None,
}


def _usable(metadata: GainMapMetadata) -> bool:
    stops = np.concatenate([metadata.min_stops, metadata.max_stops])
    offsets = np.concatenate([metadata.offset_sdr, metadata.offset_hdr])
    return bool(
        (np.abs(stops) <= MAX_STOPS).all()
        and (metadata.min_stops <= metadata.max_stops).all()
        and ((metadata.gamma > 0.0) & (metadata.gamma <= 16.0)).all()
        and ((offsets >= 0.0) & (offsets <= 1.0)).all()
        and 0.0 < metadata.capacity_max_stops <= MAX_STOPS
    )


def _field(text: str, key: str) -> str | None:
    """The value of hdrgm:`key`: an attribute, or the text of an element (tags and all)."""
    found = re.search(rf'hdrgm:{key}\s*=\s*["\']([^"\'<>]{{0,200}})["\']', text)
    found = found or re.search(rf"<hdrgm:{key}>(.{{0,2000}}?)</hdrgm:{key}>", text, re.DOTALL)
    return found[1] if found else None


def _three(text: str, key: str, default: float | None, name: str) -> NDArray[np.float64]:
    written = _field(text, key)
    if written is None:
        if default is None:
            raise InputError(f"{name} has gain-map metadata without hdrgm:{key}, which has no default.")
        return np.full(3, default)
    listed = re.findall(r"<rdf:li>\s*([^<\s]{1,40})\s*</rdf:li>", written) or [written.strip()]
    try:
        values = np.array([float(value) for value in listed])
    except ValueError as error:
        raise InputError(f"{name} has hdrgm:{key}={written[:80]!r}: one or three numbers are allowed.") from error
    if values.size not in (1, 3) or not np.isfinite(values).all():
        raise InputError(f"{name} has hdrgm:{key}={written[:80]!r}: one or three numbers are allowed.")
    return np.broadcast_to(values, 3).astype(np.float64)


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path} has {path.stat().st_size} bytes: photographs up to {MAX_FILE_BYTES} are read.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give an Ultra HDR JPEG.") from error


def _segments(data: bytes, name: str) -> Iterator[tuple[int, bytes]]:
    """(offset of its body, body) of every marker segment before the picture data. ITU-T T.81, section B.1.1."""
    if not data.startswith(b"\xff\xd8"):
        raise InputError(f"{name} is not a JPEG: give an Ultra HDR JPEG.")
    at = 2
    while at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if data[at] != 0xFF or length < 2 or at + 2 + length > len(data):
            raise InputError(f"{name} has a broken JPEG segment at byte {at}: the file is damaged.")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9].ljust(4, b"\0"))
            if not 0 < height * width <= MAX_PIXELS:
                raise InputError(f"{name} is {width}x{height} pixels: 1 to {MAX_PIXELS} are read.")
        if marker == 0xDA:
            return
        yield at + 4, data[at + 4 : at + 2 + length]
        at += 2 + length
    raise InputError(f"{name} ends before its picture data: the file is damaged.")


def _second_image(index: bytes, name: str) -> tuple[int, int]:
    """(offset from the index's start, size) of the second picture. CIPA DC-007-2021, section 5.2.3."""
    try:
        order = {b"II": "<", b"MM": ">"}[index[:2]]
        directory = struct.unpack_from(order + "I", index, 4)[0]
        count = struct.unpack_from(order + "H", index, directory)[0]
        for entry in range(count):
            tag, _, size, at = struct.unpack_from(order + "HHII", index, directory + 2 + 12 * entry)
            if tag == 0xB002 and size >= 32:
                _, length, offset = struct.unpack_from(order + "III", index, at + 16)
                return offset, length
    except (KeyError, struct.error) as error:
        raise InputError(f"{name} has a broken MPF index ({error}): the file is damaged.") from error
    raise InputError(f"{name} has an MPF index of one picture, so no gain map: give an Ultra HDR JPEG.")


def _is_display_p3(body: bytes) -> bool:
    return body.startswith(_ICC) and any("Display P3".encode(code) in body for code in ("ascii", "utf-16-be"))


def _decode(jpeg: bytes, reduction: int, name: str) -> Image:
    """(H, W, 3) float32 R'G'B' in [0, 1]; a grey picture is repeated."""
    if reduction not in _REDUCED:
        raise InputError(f"A reduction of {reduction} is not possible: use 1, 2 or 4.")
    flags = _REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
    picture: Any = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flags)
    if picture is None:
        raise InputError(f"{name} does not decode: the file is damaged.")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.float32) / np.float32(255.0)
