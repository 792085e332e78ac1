"""Frames as a web page can show them: one tone curve for source and output alike, and a map of the gain in stops."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.vqa.spec import Image
from analysis.vqa.view import largest, luminance, stops
from toolchain.color.primaries import convert
from toolchain.color.tonescale import bt2390_eetf
from toolchain.color.transfer import REFERENCE_WHITE_NITS, bt1886_eotf_inverse
from toolchain.errors import EnvironmentNotReady
from toolchain.files import write_atomic

Picture = NDArray[np.uint8]
"""HxWx3 R'G'B', BT.709, full range."""

MAP_STOPS = 3.0
"""The gain map's colours end here, on either side."""

MAP_COLORS: tuple[tuple[int, int, int], ...] = (
    (33, 60, 170),
    (110, 150, 230),
    (240, 240, 240),
    (245, 150, 70),
    (170, 20, 20),
)
"""R'G'B' at -3, -1.5, 0, 1.5 and 3 stops."""

JPEG_QUALITY = 85
_TINY_NITS = 1e-4


def page_picture(rgb_nits: Image, peak_nits: float) -> Picture:
    """BT.2020 nits, HxWx3, as a page shows them: white of the page is 203 nits.

    The largest component goes through the BT.2390 EETF from `peak_nits` to 203 nits and takes the others along, so
    hues stay; what BT.709 cannot show is clipped. Light below about 60 nits is unchanged.
    """
    top = np.minimum(largest(rgb_nits), peak_nits)
    rolled = bt2390_eetf(top, peak_nits, REFERENCE_WHITE_NITS)
    gain = rolled / np.maximum(largest(rgb_nits), np.float32(_TINY_NITS))
    shown = np.clip(convert(rgb_nits * gain[..., None], "bt2020", "bt709"), 0, REFERENCE_WHITE_NITS)
    return np.rint(255 * bt1886_eotf_inverse(shown, REFERENCE_WHITE_NITS)).astype(np.uint8)


def gain_stops(source_nits: Image, output_nits: Image) -> Image:
    """log2 of output over source luminance of each pixel, HxW, in stops; coding steps of black are held down."""
    return stops(luminance(output_nits)) - stops(luminance(source_nits))


def gain_picture(gain: Image) -> Picture:
    """A gain in stops as colours: blue darker, grey the same, red brighter than the source."""
    anchors = np.linspace(-MAP_STOPS, MAP_STOPS, len(MAP_COLORS))
    channels = [np.interp(gain, anchors, [color[i] for color in MAP_COLORS]) for i in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def save_jpeg(path: Path, picture: Picture, rotation_deg: int) -> None:
    """Write `picture`, turned clockwise by a multiple of 90 degrees, as JPEG."""
    upright = np.ascontiguousarray(np.rot90(picture, -(rotation_deg // 90) % 4))
    encoded, data = cv2.imencode(".jpg", upright[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        raise EnvironmentNotReady(f"{path} cannot be encoded as JPEG: OpenCV was built without it")
    write_atomic(path, data.tobytes())
