"""Can a source and an output be held against each other, frame by frame? One sentence where they cannot."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from agent.frames import WORKING_HEIGHT, WORKING_WIDTH
from toolchain.errors import InputError
from toolchain.video.color_tags import UNREADABLE_MATRICES
from toolchain.video.decode import Filters
from toolchain.video.facts import MediaFacts, VideoFacts
from toolchain.video.picture import working_size

MAX_SHAPE_ERROR = 0.005
"""How far two aspects may lie apart, besides a pixel of rounding on each side (odd sizes grow by one)."""

MAX_SHIFT_FRAMES = 0.5
"""A frame may be shown this much of a frame earlier or later than its source frame."""

CLOCK_STEP_S = 0.0015
"""Times are stored to a millisecond in Matroska: so far two files may be apart by rounding alone."""

_TURNS: dict[int, Filters] = {
    0: (),
    90: (("transpose", "clock"),),
    180: (("hflip", ""), ("vflip", "")),
    270: (("transpose", "cclock"),),
}


def require_comparable(source: MediaFacts, output: MediaFacts) -> tuple[str, ...]:
    """Warnings about what differs and can be compared all the same.

    Raises InputError, naming both sides, for an output whose light is not known (SDR, Dolby Vision, ICtCp and its
    like, primaries other than BT.2020) and for pictures of another aspect, turned or mirrored, or too small.
    """
    before, after = source.video, output.video
    if before is None or after is None:
        missing = source if before is None else output
        raise InputError(f"{missing.path} holds no picture: give a file with a video stream")
    _require_light(output, after)
    _turn(source, before, output, after)
    return _shape_warnings(source, before, output, after)


def align_filters(source: MediaFacts, output: MediaFacts) -> Filters:
    """Filters that bring the output's decoded picture to how the source's lies: a turn, and off with the row or
    column by which an odd side grew for a codec that needs even ones. None where both lie alike.

    Raises InputError for a difference that is no quarter turn, such as a mirrored picture.
    """
    before, after = source.video, output.video
    if before is None or after is None:
        return ()
    turn = _turn(source, before, output, after)
    swapped = any(name == "transpose" for name, _ in turn)
    width, height = (after.height, after.width) if swapped else (after.width, after.height)
    grown = [(new, old) for new, old in ((width, before.width), (height, before.height)) if new != old]
    if grown and all(old % 2 and new == old + 1 for new, old in grown):
        return (*turn, ("crop", f"{before.width}:{before.height}:0:0:exact=1"))
    return turn


def _turn(source: MediaFacts, before: VideoFacts, output: MediaFacts, after: VideoFacts) -> Filters:
    if _orientation(before) == _orientation(after):
        return ()
    turn_deg = (after.rotation_deg - before.rotation_deg) % 360
    if _mirrored(before) or _mirrored(after) or turn_deg not in _TURNS:
        raise InputError(
            f"{output.path} lies otherwise than {source.path} (display matrices {after.display_matrix} and "
            f"{before.display_matrix}): quarter turns can be compared, mirrored or skewed pictures cannot"
        )
    return _TURNS[turn_deg]


def require_same_frames(
    source: MediaFacts, source_times_s: NDArray[np.float64], output: MediaFacts, output_times_s: NDArray[np.float64]
) -> None:
    """Raises InputError unless both have the same number of frames, each shown when its source frame is.

    Times are counted from each file's first frame; half a frame of the source is let pass, and a rounded clock.
    """
    counts = len(output_times_s), len(source_times_s)
    if counts[0] != counts[1]:
        word = "shorter" if counts[0] < counts[1] else "longer"
        raise InputError(
            f"{output.path} is {word} than {source.path}: {_length(output, output_times_s)} against "
            f"{_length(source, source_times_s)}; only files of the same frames can be compared"
        )
    before, after = source_times_s - source_times_s[0], output_times_s - output_times_s[0]
    apart_s = np.abs(after - before)
    usual_gap_s = float(np.median(np.diff(before))) if len(before) > 1 else 0.0
    allowed_s = max(MAX_SHIFT_FRAMES * usual_gap_s, CLOCK_STEP_S)
    if apart_s.max() > allowed_s:
        first = int((apart_s > allowed_s).argmax())
        raise InputError(
            f"{output.path} runs at another rate than {source.path}: {_rate(output, output_times_s)} against "
            f"{_rate(source, source_times_s)}, frame {first} is shown at {after[first]:.4f} s instead of "
            f"{before[first]:.4f} s; give an output with its source's times"
        )


def _require_light(output: MediaFacts, video: VideoFacts) -> None:
    """The judge knows PQ and HLG light of BT.2020 primaries, and nothing else."""
    path = output.path
    if video.hdr == "none":
        raise InputError(f"{path} is not HDR (transfer {video.tags.transfer}): PQ or HLG is needed")
    if video.hdr == "dolby_vision":
        raise InputError(
            f"{path} is Dolby Vision ({video.hdr_reason}), whose light only its own decoder knows: convert it to "
            "HDR10 or HLG first"
        )
    if video.tags.matrix in UNREADABLE_MATRICES and video.color.matrix != "rgb":
        raise InputError(
            f"{path} uses the colour matrix {video.tags.matrix!r}, which cannot be shown as light here: convert it "
            "to bt2020nc first"
        )
    if video.color.primaries != "bt2020" and "primaries" not in video.color.assumed:
        raise InputError(
            f"{path} is HDR with the primaries {video.tags.primaries!r}: only BT.2020 can be judged; convert it first"
        )


def _shape_warnings(source: MediaFacts, before: VideoFacts, output: MediaFacts, after: VideoFacts) -> tuple[str, ...]:
    coded, shown = _turned(before), _turned(after)
    same_pixels = _alike(coded, shown)
    if not same_pixels and not _alike(_displayed(before), _displayed(after)):
        raise InputError(
            f"{output.path} shows {_size(after)} and {source.path} shows {_size(before)}: only pictures of the same "
            "aspect can be compared; crop, pad or turn neither or both"
        )
    needed = working_size(*coded, WORKING_WIDTH, WORKING_HEIGHT)
    if shown[0] < needed[0] * (1 - MAX_SHAPE_ERROR) - 1 and shown[1] < needed[1] * (1 - MAX_SHAPE_ERROR) - 1:
        raise InputError(
            f"{output.path} shows {_size(after)}, too small to judge against {_size(before)} of {source.path}: at "
            f"least {needed[0]}x{needed[1]} is needed"
        )
    warnings = []
    if max(abs(coded[0] - shown[0]), abs(coded[1] - shown[1])) > 1:
        warnings.append(f"OUT shows {_size(after)} and SRC {_size(before)}: both are compared at working size")
    if not _alike(_displayed(before), _displayed(after)):
        warnings.append(f"OUT shows {_size(after)} and SRC {_size(before)}: the pixels' own aspect got lost")
    return tuple(warnings)


def _alike(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Same aspect, but for a pixel of rounding on each side."""
    rounding = 1 / min(a[0], b[0]) + 1 / min(a[1], b[1])
    return abs(a[0] * b[1] / (a[1] * b[0]) - 1) <= MAX_SHAPE_ERROR + rounding


def _turned(video: VideoFacts) -> tuple[int, int]:
    """Width and height in samples as displayed, before the samples' own aspect."""
    upright = video.rotation_deg not in (90, 270)
    return (video.width, video.height) if upright else (video.height, video.width)


def _displayed(video: VideoFacts) -> tuple[float, float]:
    """Width and height as displayed, in units of the samples' height (of their width, lying on a side)."""
    width, height = _turned(video)
    wide = video.sample_aspect_ratio or Fraction(1)
    return (width, height * float(wide)) if video.rotation_deg in (90, 270) else (width * float(wide), height)


def _orientation(video: VideoFacts) -> tuple[int, ...]:
    """Signs of the display matrix's turning part; those of the identity where there is none."""
    matrix = video.display_matrix or (1, 0, 0, 0, 1)
    return tuple(int(np.sign(matrix[i])) for i in (0, 1, 3, 4))


def _mirrored(video: VideoFacts) -> bool:
    a, b, c, d = (float(sign) for sign in _orientation(video))
    return a * d - b * c < 0


def _size(video: VideoFacts) -> str:
    width, height = _turned(video)
    pixels = f", pixels {video.sample_aspect_ratio}" if video.sample_aspect_ratio not in (None, 1) else ""
    turned = f", turned by {video.rotation_deg} degrees" if video.rotation_deg else ""
    aspect = _displayed(video)
    return f"{width}x{height} ({aspect[0] / aspect[1]:.3f}:1{pixels}{turned})"


def _length(facts: MediaFacts, times_s: NDArray[np.float64]) -> str:
    return f"{len(times_s)} frames at {_rate(facts, times_s)}"


def _rate(facts: MediaFacts, times_s: NDArray[np.float64]) -> str:
    """The frame rate in words: as stated where frames come evenly, else as measured."""
    gaps_s = np.diff(times_s)
    stated = facts.video.frame_rate if facts.video else None
    if stated and (not len(gaps_s) or np.ptp(gaps_s) <= MAX_SHIFT_FRAMES / float(stated)):
        return f"{float(stated):.6g} fps"
    if not len(gaps_s) or gaps_s.sum() <= 0:
        return "an unknown rate"
    return f"{len(gaps_s) / float(gaps_s.sum()):.4g} fps on average (variable)"
