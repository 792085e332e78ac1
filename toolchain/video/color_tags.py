"""Colour tags by name, and how the samples are read when tags are missing or contradict each other."""

from __future__ import annotations

from fractions import Fraction

import av
from av.video.frame import VideoFrame

from toolchain.video.facts import ChromaLocation, ColorInterpretation, ColorTags, Matrix, Primaries, Range

# ITU-T H.273 (07/2024) tables 2, 3 and 4, in FFmpeg's names.
PRIMARIES_NAMES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020",
    10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
TRANSFER_NAMES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100", 10: "log316",
    11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084",
    17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
MATRIX_NAMES = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp",
    15: "ipt-c2", 16: "ycgco-re", 17: "ycgco-ro",
}  # fmt: skip
RANGE_NAMES = {1: "tv", 2: "pc"}

NOT_DISPLAY_REFERRED = ("linear", "log100", "log316", "smpte428")
"""Transfers that are neither HDR delivery nor an SDR display curve: nothing here knows how they should look."""

UNREADABLE_MATRICES = (
    "ycgco", "bt2020c", "smpte2085", "chroma-derived-nc", "chroma-derived-c", "ictcp", "ipt-c2",
    "ycgco-re", "ycgco-ro",
)  # fmt: skip
"""Matrices that the colour stage cannot undo."""

_MATRIX: dict[str, Matrix] = {
    "bt709": "bt709",
    "smpte240m": "bt709",  # Kr, Kb = 0.212, 0.087: BT.709 (0.2126, 0.0722) is the nearest
    "fcc": "bt601",  # 0.30, 0.11 against 0.299, 0.114
    "bt470bg": "bt601",
    "smpte170m": "bt601",
    "bt2020nc": "bt2020nc",
}
_PRIMARIES: dict[str, Primaries] = {
    "bt709": "bt709",
    "bt470bg": "bt601_625",
    "ebu3213": "bt601_625",
    "smpte170m": "bt601_525",
    "smpte240m": "bt601_525",
    "bt2020": "bt2020",
    "smpte432": "p3_d65",
}
_RANGE: dict[str, Range] = {"tv": "limited", "pc": "full"}
_CHROMA: dict[str, ChromaLocation] = {"left": "left", "center": "center", "topleft": "topleft"}


def read_tags(frame: VideoFrame, context: av.VideoCodecContext, chroma_location: str) -> ColorTags:
    """Tags of the decoded frame (bitstream); where it says nothing, the container's."""

    def pick(names: dict[int, str], attribute: str) -> str:
        values = (int(getattr(frame, attribute)), int(getattr(context, attribute)))
        return next((names[value] for value in values if value in names), "unspecified")

    rgb = frame.format.is_rgb
    matrix = pick(MATRIX_NAMES, "colorspace")
    return ColorTags(
        primaries=pick(PRIMARIES_NAMES, "color_primaries"),
        transfer=pick(TRANSFER_NAMES, "color_trc"),
        # 0 (GBR) is also what a zeroed field of a YCbCr file reads as.
        matrix="unspecified" if matrix == "gbr" and not rgb else matrix,
        range=pick(RANGE_NAMES, "color_range"),
        chroma_location=chroma_location,
    )


def interpret(
    tags: ColorTags, *, pix_fmt: str, width: int, height: int, frame_rate: Fraction | None
) -> ColorInterpretation:
    """How to read the samples. What no tag settles is assumed: up to 1024x576 BT.601, above BT.709; limited; left.

    A known matrix decides unknown primaries and the other way round; 625-line primaries for 576 or 288 lines or
    25/50 frames a second, else 525. RGB formats have no matrix and are full range unless tagged limited.
    """
    rgb = av.VideoFormat(pix_fmt).is_rgb or pix_fmt == "pal8"
    sd = width <= 1024 and height <= 576
    sd_primaries: Primaries = "bt601_625" if _is_625(height, frame_rate) else "bt601_525"
    primaries = _PRIMARIES.get(tags.primaries)
    matrix: Matrix | None = "rgb" if rgb else _MATRIX.get(tags.matrix)
    implied_matrix: dict[Primaries, Matrix] = {"bt2020": "bt2020nc", "bt601_625": "bt601", "bt601_525": "bt601"}
    implied_primaries: dict[Matrix, Primaries] = {"bt2020nc": "bt2020", "bt709": "bt709", "bt601": sd_primaries}
    default: Primaries = "bt709" if rgb or not sd else sd_primaries
    sampled_range = _RANGE.get(tags.range) or ("full" if pix_fmt.startswith("yuvj") else None)
    assumed = [
        name
        for name, known in (
            ("matrix", matrix),
            ("primaries", primaries),
            ("range", sampled_range),
            ("chroma_location", rgb or _CHROMA.get(tags.chroma_location)),
        )
        if not known
    ]
    matrix_fallback: Matrix = "bt601" if sd else "bt709"
    return ColorInterpretation(
        matrix=matrix or (implied_matrix.get(primaries, matrix_fallback) if primaries else matrix_fallback),
        primaries=primaries or (implied_primaries.get(matrix, default) if matrix else default),
        range=sampled_range or ("full" if rgb else "limited"),
        chroma_location=_CHROMA.get(tags.chroma_location, "left"),
        assumed=tuple(assumed),
    )


def _is_625(height: int, frame_rate: Fraction | None) -> bool:
    if height in (480, 240, 486):
        return False
    return height in (576, 288) or frame_rate in (Fraction(25), Fraction(50))
