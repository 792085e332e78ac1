import struct

import cv2
import numpy as np
import pytest

from tests.shared_data import shared_data
from toolchain.errors import InputError
from training.data.ultrahdr import GainMapMetadata, apply_gain_map, parse_metadata, parse_ultrahdr, read_ultrahdr

XMP = b"http://ns.adobe.com/xap/1.0/\0"
FIELDS = {"Version": "1.0", "GainMapMax": "2.0", "HDRCapacityMax": "2.0", "OffsetSDR": "0", "OffsetHDR": "0"}


def attributes(**changes: str | None) -> bytes:
    fields = {key: value for key, value in {**FIELDS, **changes}.items() if value is not None}
    return XMP + " ".join(f'hdrgm:{key}="{value}"' for key, value in fields.items()).encode()


def jpeg(value: int, segments: bytes = b"", size: tuple[int, int] = (16, 32)) -> bytes:
    encoded = cv2.imencode(".jpg", np.full((*size, 3), value, np.uint8))[1].tobytes()
    return encoded[:2] + segments + encoded[2:]


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body


def photograph(base: int = 128, gain: int = 255, xmp: bytes | None = None, size: int | None = None) -> bytes:
    """A file with an MPF index of two pictures, little endian."""
    gain_map = jpeg(gain, segment(0xE1, attributes() if xmp is None else xmp), (4, 8))

    def index(offset: int) -> bytes:
        head = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", 0xB002, 7, 32, 26) + struct.pack("<I", 0)
        second = struct.pack("<IIIHH", 0, len(gain_map) if size is None else size, offset, 0, 0)
        return b"MPF\0" + head + bytes(16) + second

    primary = jpeg(base, segment(0xE2, index(0)))
    start = primary.index(b"MPF\0") + 4
    return jpeg(base, segment(0xE2, index(len(primary) - start))) + gain_map


def test_full_gain_multiplies_the_base_by_two_to_the_maximum(tmp_path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(photograph(gain=255))
    sdr, nits = read_ultrahdr(path)
    assert sdr.shape == nits.shape == (16, 32, 3)
    assert np.allclose(nits, 203.0 * 4.0 * sdr, rtol=0.03)
    path.write_bytes(photograph(gain=0))
    sdr, nits = read_ultrahdr(path)
    assert np.allclose(nits, 203.0 * sdr, rtol=0.03)
    assert sdr.mean() == pytest.approx(0.2158, rel=0.03)  # sRGB 128


def test_formula_of_the_standard() -> None:
    three = np.ones(3)
    metadata = GainMapMetadata(-1.0 * three, 3.0 * three, 2.0 * three, 0.25 * three, 0.125 * three, 3.0)
    base, encoded = np.full((1, 1, 3), 0.5, np.float32), np.full((1, 1, 3), 0.25, np.float32)
    assert apply_gain_map(base, encoded, metadata) == pytest.approx(0.75 * 2.0**1.0 - 0.125)


def test_metadata_as_elements_and_defaults() -> None:
    listed = "<rdf:Seq><rdf:li>1</rdf:li><rdf:li>2.5</rdf:li><rdf:li>3</rdf:li></rdf:Seq>"
    xmp = attributes(GainMapMax=None, OffsetSDR=None) + f"<hdrgm:GainMapMax>{listed}</hdrgm:GainMapMax>".encode()
    metadata = parse_metadata(xmp, "x")
    assert metadata.max_stops.tolist() == [1.0, 2.5, 3.0]
    assert metadata.offset_sdr.tolist() == [1 / 64] * 3
    assert metadata.gamma.tolist() == [1.0] * 3


@pytest.mark.parametrize(
    "xmp",
    [
        XMP,
        attributes(GainMapMax=None),
        attributes(GainMapMax="nan"),
        attributes(GainMapMax="1e300"),
        attributes(GainMapMax="-3"),
        attributes(Gamma="0"),
        attributes(OffsetHDR="-1"),
        attributes(HDRCapacityMax="two"),
        attributes(BaseRenditionIsHDR="True"),
    ],
)
def test_metadata_that_means_nothing_is_refused(xmp: bytes) -> None:
    with pytest.raises(InputError):
        parse_ultrahdr(photograph(xmp=xmp), "photo")


def test_damaged_files_are_refused() -> None:
    whole = photograph()
    plain = jpeg(100)
    for data in (
        b"",
        b"GIF89a",
        plain,
        whole[:40],
        whole[: len(whole) - 50],
        photograph(size=10**9),
        photograph(size=0),
    ):
        with pytest.raises(InputError):
            parse_ultrahdr(data, "photo")


def test_any_cut_or_flipped_byte_gives_a_picture_or_an_input_error(tmp_path) -> None:
    whole, rng, path = photograph(), np.random.default_rng(0), tmp_path / "photo.jpg"
    for at in rng.integers(0, len(whole), 120):
        flipped = bytearray(whole)
        flipped[at] ^= int(rng.integers(1, 256))
        for data in (bytes(flipped), whole[:at]):
            path.write_bytes(data)
            try:
                sdr, nits = read_ultrahdr(path)
            except InputError:
                continue
            assert np.isfinite(sdr).all()
            assert np.isfinite(nits).all()


def test_huge_claimed_size_is_refused_before_decoding() -> None:
    data = bytearray(photograph())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(InputError, match="65535x65535"):
        parse_ultrahdr(bytes(data), "photo")


@pytest.mark.parametrize(("name", "stops"), [("01", 2.656715), ("02", 2.039969), ("04", 2.057993)])
def test_phone_photographs(name: str, stops: float) -> None:
    path = shared_data("pairs", "ultrahdr", f"{name}.jpg")
    parts = parse_ultrahdr(path.read_bytes(), name)
    assert parts.primaries == "p3_d65"
    assert parts.metadata.max_stops.tolist() == [stops] * 3
    sdr, nits = read_ultrahdr(path, 4)
    assert sdr.shape == nits.shape
    assert sdr.max() <= 1.0
    assert 203.0 < nits.max() <= 203.0 * 2.0**stops * 1.01
    luminance = nits @ [0.2627, 0.6780, 0.0593]
    assert luminance.min() >= 0.0
    shown = 203.0 * (sdr @ [0.2126, 0.7152, 0.0722])
    gain = np.log2(luminance[shown > 5.0] / shown[shown > 5.0])
    assert np.percentile(gain, 1) > -0.2
    assert np.percentile(gain, 99) < stops + 0.1
