"""Static HDR metadata, and its way into the bitstream after encoding, when the light level has been measured.

ST 2086 mastering display colour volume and CTA-861.3 content light level are written into every random access point:
HEVC as prefix SEI (ITU-T H.265 (09/2023), 7.3.1.1, 7.3.2.4, D.2.28, D.2.35), AV1 as metadata OBUs (AV1 Bitstream
Specification 1.0.0 with errata 1, 5.3, 5.8.3, 5.8.4). HLG carries neither: it is relative to the display (BT.2100-2,
table 5; BT.2408-7, section 2), so absolute light levels have no meaning there and none are written.
"""

from __future__ import annotations

import struct

from pydantic import BaseModel, ConfigDict, Field

from toolchain.errors import AgentError

_Point = tuple[float, float]
_P3_D65: tuple[_Point, _Point, _Point, _Point] = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290))
"""CIE 1931 x, y of red, green, blue (SMPTE RP 431-2) and white: the displays that HDR is mastered on."""

_HEVC_PARAMETER_SETS = range(32, 35)
_HEVC_IRAP = range(16, 24)
_HEVC_SLICES = range(32)
_HEVC_PREFIX_SEI = 39
_SEI_MASTERING_DISPLAY = 137
_SEI_CONTENT_LIGHT = 144
_OBU_SEQUENCE_HEADER = 1
_OBU_METADATA = 5
_OBU_CONTENT_LIGHT = 1
_OBU_MASTERING_DISPLAY = 2


class HdrMetadata(BaseModel):
    """ST 2086 of the P3-D65 display the picture was made for, and the measured light level of the file (nits)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mastering_max_nits: float = Field(default=1000.0, gt=0, le=10000.0)
    mastering_min_nits: float = Field(default=0.005, ge=0, le=5.0)
    max_cll: int = Field(ge=0, le=65535, description="brightest max(R,G,B) of any pixel; 0 = unknown")
    max_fall: int = Field(ge=0, le=65535, description="largest frame mean of max(R,G,B); 0 = unknown")

    @property
    def chromaticities(self) -> tuple[_Point, _Point, _Point, _Point]:
        """CIE 1931 x, y of red, green, blue and white."""
        return _P3_D65

    def mastering_argument(self) -> str:
        """In the notation of FFmpeg's `-mastering_display` (x265's `master-display`): 1/50000 and 1/10000 nit."""
        red, green, blue, white = (f"({_fixed(x, 50000)},{_fixed(y, 50000)})" for x, y in self.chromaticities)
        light = f"({_fixed(self.mastering_max_nits, 10000)},{_fixed(self.mastering_min_nits, 10000)})"
        return f"G{green}B{blue}R{red}WP{white}L{light}"


def with_hevc_metadata(packet: bytes, metadata: HdrMetadata | None, keep_parameter_sets: bool) -> bytes:
    """One access unit with the SEI put in front of the first slice where it is a random access point.

    `packet` holds NAL units, each behind a 4-byte length (ISO/IEC 14496-15). In MP4 and MOV the sample entry `hvc1`
    forbids parameter sets in the samples, so `keep_parameter_sets` False takes them out. AgentError when malformed.
    """
    result: list[bytes] = []
    inserted = metadata is None
    for unit in _length_prefixed(packet):
        kind = unit[0] >> 1 & 0x3F
        if not inserted and kind in _HEVC_SLICES:
            if kind in _HEVC_IRAP and metadata is not None:
                result.extend(hevc_sei(metadata))
            inserted = True
        if keep_parameter_sets or kind not in _HEVC_PARAMETER_SETS:
            result.append(unit)
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in result)


def hevc_sei(metadata: HdrMetadata) -> tuple[bytes, bytes]:
    """The two prefix SEI NAL units, without start code or length, with emulation prevention."""
    red, green, blue, white = metadata.chromaticities
    points = [_fixed(value, 50000) for point in (green, blue, red, white) for value in point]
    light = _fixed(metadata.mastering_max_nits, 10000), _fixed(metadata.mastering_min_nits, 10000)
    return (
        _sei_unit(_SEI_MASTERING_DISPLAY, struct.pack(">8H2I", *points, *light)),
        _sei_unit(_SEI_CONTENT_LIGHT, struct.pack(">2H", metadata.max_cll, metadata.max_fall)),
    )


def with_av1_metadata(packet: bytes, metadata: HdrMetadata) -> bytes:
    """One temporal unit in the low-overhead format with the metadata OBUs after its sequence header, if any."""
    position = 0
    while position < len(packet):
        kind, end = _obu(packet, position)
        if kind == _OBU_SEQUENCE_HEADER:
            return packet[:end] + av1_metadata_obus(metadata) + packet[end:]
        position = end
    return packet


def av1_metadata_obus(metadata: HdrMetadata) -> bytes:
    """METADATA_TYPE_HDR_CLL and METADATA_TYPE_HDR_MDCV, each an OBU with a size field (AV1, 5.8.3, 5.8.4, 6.7.3)."""
    points = [_fixed(value, 65536) for point in metadata.chromaticities for value in point]
    light = _fixed(metadata.mastering_max_nits, 1 << 8), _fixed(metadata.mastering_min_nits, 1 << 14)
    return _metadata_obu(_OBU_CONTENT_LIGHT, struct.pack(">2H", metadata.max_cll, metadata.max_fall)) + _metadata_obu(
        _OBU_MASTERING_DISPLAY, struct.pack(">8H2I", *points, *light)
    )


def _fixed(value: float, scale: int) -> int:
    return round(value * scale)


def _sei_unit(payload_type: int, payload: bytes) -> bytes:
    header = bytes([_HEVC_PREFIX_SEI << 1, 1])  # layer 0, temporal id plus one
    body = bytes([payload_type, len(payload)]) + payload + b"\x80"
    return header + escape(body)


def escape(payload: bytes) -> bytes:
    """Emulation prevention: 03 goes between two zero bytes and a byte of 0 to 3 (H.265, 7.3.1.1)."""
    result = bytearray()
    zeros = 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            result.append(3)
            zeros = 0
        result.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(result)


def _length_prefixed(packet: bytes) -> list[bytes]:
    units: list[bytes] = []
    position = 0
    while position + 4 <= len(packet):
        length = int.from_bytes(packet[position : position + 4], "big")
        unit = packet[position + 4 : position + 4 + length]
        if len(unit) < max(length, 2):
            break
        units.append(unit)
        position += 4 + length
    if position != len(packet):
        raise AgentError(f"an encoded HEVC packet of {len(packet)} bytes is not made of whole NAL units")
    return units


def _obu(packet: bytes, position: int) -> tuple[int, int]:
    """Type of the OBU at `position` and where the next one begins."""
    header = packet[position]
    extension, has_size = header >> 2 & 1, header >> 1 & 1
    start = position + 1 + extension
    if not has_size:
        return header >> 3 & 15, len(packet)
    size = shift = 0
    while start < len(packet):
        byte = packet[start]
        start += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if start + size > len(packet):
        raise AgentError(f"an encoded AV1 packet of {len(packet)} bytes is not made of whole OBUs")
    return header >> 3 & 15, start + size


def _metadata_obu(metadata_type: int, payload: bytes) -> bytes:
    body = bytes([metadata_type]) + payload + b"\x80"  # trailing bits
    return bytes([_OBU_METADATA << 3 | 2, len(body)]) + body
