"""Whole-picture expansion gives what the fused kernel gives, and mixes shots and graphics as it does."""

from __future__ import annotations

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from toolchain.expanders import Expander, GridExpander, GridTrack, PictureExpander, TableExpander
from toolchain.kernel import FrameSpec
from toolchain.lut import OutputFormat, bake
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls, PixelFunction
from toolchain.video.facts import ColorInterpretation
from toolchain.video.shots import Shot

COLOR = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")
SHOTS = [
    Shot(index=0, start_frame=0, end_frame=50, hard_cut=True, key_frames=(0,)),
    Shot(index=1, start_frame=50, end_frame=100, hard_cut=False, key_frames=(50,)),
]
MASK = np.zeros((3, 4), np.float32)
MASK[1, 1:3] = 1.0


def picture(width: int, height: int, pix_fmt: str) -> av.VideoFrame:
    """Smooth colours, as codecs deliver them: no LUT cell is crossed by noise."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    rgb = np.stack([x, y, 1 - x], axis=-1) * 235 + 10
    return av.VideoFrame.from_ndarray(rgb.astype(np.uint8), "rgb24").reformat(
        format=pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG"
    )


def planes_of(expander: Expander, number: int, frame: av.VideoFrame, spec: FrameSpec):
    out = tuple(np.zeros(shape, np.uint16) for shape in spec.output_shapes)
    expander.at(number, frame)(frame, out, spec)
    return out


def expanders(spec: FrameSpec, mask: NDArray[np.float32] | None) -> tuple[TableExpander, PictureExpander]:
    models: dict[int, PixelFunction] = {
        0: bind_guarded("bt2446c", None, Controls()),
        1: bind_guarded("direct203", None, Controls()),
    }
    nothing = bind_guarded("direct203", None, Controls())

    def baked(shot: Shot):
        return bake(models[shot.index], spec.color, spec.output, 65)

    table = TableExpander(SHOTS, 25.0, baked, lambda _: mask, bake(nothing, spec.color, spec.output, 65))
    whole = PictureExpander(SHOTS, 25.0, lambda shot: models[shot.index], lambda _: mask, nothing)
    return table, whole


@pytest.mark.parametrize(("width", "height"), [(64, 48), (63, 47)])
@pytest.mark.parametrize("chroma", ["4:2:0", "4:2:2", "4:4:4"])
@pytest.mark.parametrize("number", [10, 45, 55])
def test_whole_pictures_agree_with_the_fused_kernel(width: int, height: int, chroma, number: int) -> None:
    pix_fmt = {"4:2:0": "yuv420p", "4:2:2": "yuv422p", "4:4:4": "yuv444p"}[chroma]
    spec = FrameSpec(width, height, 8, chroma, COLOR, OutputFormat(chroma=chroma))
    frame = picture(width, height, pix_fmt)
    table, whole = expanders(spec, MASK)
    for fused, exact in zip(
        planes_of(table, number, frame, spec), planes_of(whole, number, frame, spec), strict=True
    ):
        difference = np.abs(fused.astype(int) - exact.astype(int))
        assert difference.max() <= 3
        assert difference.mean() < 0.3


def test_graphics_are_left_at_reference_white() -> None:
    spec = FrameSpec(64, 48, 8, "4:2:0", COLOR, OutputFormat())
    frame = picture(64, 48, "yuv420p")
    _, masked = expanders(spec, np.ones((3, 4), np.float32))
    _, plain = expanders(spec, None)
    nothing = planes_of(plain, 99, frame, spec)[0]
    assert np.array_equal(planes_of(masked, 10, frame, spec)[0], nothing)
    assert not np.array_equal(planes_of(plain, 10, frame, spec)[0], nothing)


class Numbered:
    """Predicts a grid that holds the frame's own number (its pts), and remembers which frames it saw."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, frame: av.VideoFrame) -> NDArray[np.float32]:
        assert frame.pts is not None
        self.seen.append(frame.pts)
        return np.full((2, 2, 2), frame.pts, np.float32)


def numbered_frame(number: int) -> av.VideoFrame:
    frame = av.VideoFrame(16, 16, "yuv420p")
    frame.pts = number
    return frame


CUT_SHOTS = [*SHOTS, Shot(index=2, start_frame=100, end_frame=150, hard_cut=True, key_frames=(100,))]


def track_levels(first: int, last: int, predict: Numbered) -> dict[int, float]:
    track = GridTrack(CUT_SHOTS, predict)
    start = track.first_needed(first)
    levels = {n: float(track.at(n, numbered_frame(n)).mean()) for n in range(start, last)}
    return {n: level for n, level in levels.items() if n >= first}


def test_a_grid_moves_evenly_and_starts_anew_at_a_cut() -> None:
    predict = Numbered()
    levels = track_levels(0, 150, predict)
    assert predict.seen == [*range(0, 100, 4), *range(100, 150, 4)]
    assert levels[0] == 0
    assert levels[100] == 100
    steps = np.diff([levels[n] for n in range(100)])
    assert np.all(steps >= -1e-4)
    assert steps.max() <= 4 / 3 + 1e-4  # a ramp of one a frame, at worst eased in after the cut
    np.testing.assert_allclose(steps[20:], 1, atol=1e-3)


@pytest.mark.parametrize("first", [1, 13, 37, 50, 99, 100, 101, 149])
def test_a_render_that_goes_on_in_the_middle_sees_the_same_grids(first: int) -> None:
    whole = track_levels(0, 150, Numbered())
    resumed = track_levels(first, 150, Numbered())
    assert resumed == {n: whole[n] for n in range(first, 150)}


@pytest.mark.parametrize("number", [10, 49, 51])
def test_a_constant_grid_is_one_table_of_the_stack(number: int) -> None:
    spec = FrameSpec(64, 48, 8, "4:2:0", COLOR, OutputFormat())
    frame = picture(64, 48, "yuv420p")
    dark, bright = (bake(bind_guarded(m, None, Controls()), COLOR, spec.output, 33) for m in ("direct203", "bt2446a"))
    stacks = [(dark, bright), (bright, dark)]
    grids = GridExpander(
        SHOTS, 25.0, lambda shot: stacks[shot.index], lambda _: np.ones((2, 2, 2), np.float32), lambda _: MASK, dark
    )
    tables = TableExpander(SHOTS, 25.0, lambda shot: stacks[shot.index][1], lambda _: MASK, dark)
    for n in range(number):
        grids.at(n, frame)
    for a, b in zip(planes_of(grids, number, frame, spec), planes_of(tables, number, frame, spec), strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1
