"""SEI and OBU bytes against the standards' syntax, written out by hand."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import AgentError
from toolchain.video.hdr_metadata import (
    HdrMetadata,
    av1_metadata_obus,
    escape,
    hevc_sei,
    with_av1_metadata,
    with_hevc_metadata,
)

METADATA = HdrMetadata(max_cll=1000, max_fall=400)


def prefixed(*units: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in units)


def unescape(data: bytes) -> bytes:
    result, zeros = bytearray(), 0
    for byte in data:
        if zeros >= 2 and byte == 3:
            zeros = 0
            continue
        result.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(result)


def nal(kind: int, body: bytes = b"\x88\x77") -> bytes:
    return bytes([kind << 1, 1]) + body


def test_mastering_display_argument_is_the_published_p3_d65_string() -> None:
    assert METADATA.mastering_argument() == "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


def test_hevc_sei_has_the_published_fields_in_order_green_blue_red() -> None:
    mastering, light = (unescape(unit) for unit in hevc_sei(METADATA))
    assert mastering[:4] == bytes([39 << 1, 1, 137, 24])
    fields = struct.unpack(">8H2I", mastering[4:28])
    assert fields == (13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10_000_000, 50)
    assert light == bytes([39 << 1, 1, 144, 4]) + struct.pack(">2H", 1000, 400) + b"\x80"
    assert mastering[28:] == b"\x80"


@given(st.binary(max_size=64) | st.lists(st.integers(0, 4), max_size=64).map(bytes))
def test_escaped_bytes_hold_no_start_code_and_come_back(payload: bytes) -> None:
    escaped = escape(payload)
    assert all(code not in escaped for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))
    # A decoder removes what was inserted; bytes that merely look inserted are themselves escaped.
    assert unescape(escaped) == payload


def test_sei_goes_between_parameter_sets_and_the_first_slice_of_a_random_access_point() -> None:
    vps, sps, pps, idr, idr2 = nal(32), nal(33), nal(34), nal(20), nal(20, b"\x01")
    packet = prefixed(vps, sps, pps, idr, idr2)
    sei = hevc_sei(METADATA)
    assert with_hevc_metadata(packet, METADATA, True) == prefixed(vps, sps, pps, *sei, idr, idr2)
    assert with_hevc_metadata(packet, METADATA, False) == prefixed(*sei, idr, idr2)
    assert with_hevc_metadata(packet, None, True) == packet


def test_other_pictures_are_left_alone() -> None:
    packet = prefixed(nal(1), nal(0))
    assert with_hevc_metadata(packet, METADATA, True) == packet


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_malformed_hevc_is_refused(cut: int) -> None:
    with pytest.raises(AgentError, match="whole NAL units"):
        with_hevc_metadata(prefixed(nal(20))[:-cut], METADATA, True)


def test_av1_obus_have_the_published_fields_in_order_red_green_blue() -> None:
    data = av1_metadata_obus(METADATA)
    light, mastering = data[:8], data[8:]
    assert light == bytes([5 << 3 | 2, 6, 1]) + struct.pack(">2H", 1000, 400) + b"\x80"
    assert mastering[:3] == bytes([5 << 3 | 2, 26, 2])
    fields = struct.unpack(">8H2I", mastering[3:27])
    assert fields[:2] == (round(0.680 * 65536), round(0.320 * 65536))
    assert fields[8:] == (1000 << 8, round(0.005 * (1 << 14)))


def test_av1_metadata_follows_the_sequence_header() -> None:
    delimiter, sequence, frame = b"\x12\x00", b"\x0a\x03abc", b"\x32\x02xy"
    packet = delimiter + sequence + frame
    assert with_av1_metadata(packet, METADATA) == delimiter + sequence + av1_metadata_obus(METADATA) + frame
    assert with_av1_metadata(delimiter + frame, METADATA) == delimiter + frame


def test_malformed_av1_is_refused() -> None:
    with pytest.raises(AgentError, match="whole OBUs"):
        with_av1_metadata(b"\x0a\x7fabc", METADATA)
